"""What devices say, made fit to be shown. Between `retained` and everything that prints or writes a page."""

from __future__ import annotations

_LONGEST_TEXT = 300


def clean(text: str) -> str:
    """Make a device's words safe for a terminal: no control characters, one line, 300 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_TEXT])
