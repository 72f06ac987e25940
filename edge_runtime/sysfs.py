"""Read small files of the kernel that may be missing, switched off or not numbers: for `jetson` and `sensors`."""

from __future__ import annotations

from pathlib import Path


def number_of(file: Path) -> int | None:
    """Give the whole number in a file; None where there is none."""
    try:
        return int(text_of(file))
    except ValueError:
        return None


def text_of(file: Path) -> str:
    """Give the text of a file without blanks around it; empty where it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip().rstrip("\0")
    except OSError:  # a sensor that is switched off answers with an error
        return ""
