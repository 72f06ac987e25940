"""Patterns of paths, as rules and kinds are written. Pure.

A pattern without a slash is about the name alone (`*.dcm`); one with a slash is about the whole path below the storage
(`studies/*/series-?/**`). `*` and `?` stay inside one part, `**` goes over any number of parts, `[…]` is one of some
ASCII characters. Paths are bytes of the file system, so `?` is one byte, and capital letters are other letters.
"""

from __future__ import annotations

import re
from functools import lru_cache

from toolkit.errors import IntegrityError

_LONGEST = 1024


@lru_cache(maxsize=1024)
def pattern_of(text: str) -> re.Pattern[bytes]:
    """Read a pattern; it is matched against a whole path.

    Raises:
        IntegrityError: it is empty, too long, begins or ends with a slash, or has an open bracket.
    """
    if not text or len(text) > _LONGEST or text.startswith("/") or text.endswith("/"):
        raise IntegrityError(
            f"{text[:80]!r} is not a pattern of paths",
            hint="write it like *.dcm or studies/**, without a / at an end",
        )
    written = "".join(_parts(text))
    front = "" if "/" in text else "(?:.*/)?"
    return re.compile((front + written).encode("utf-8", "surrogateescape"), re.DOTALL)


def fits(text: str, path: bytes) -> bool:
    """Say whether a path fits a pattern. Raises IntegrityError as `pattern_of`."""
    return pattern_of(text).fullmatch(path) is not None


def fits_one(texts: tuple[str, ...], path: bytes) -> bool:
    """Say whether a path fits one of some patterns. Raises IntegrityError as `pattern_of`."""
    return _one_of(texts).fullmatch(path) is not None


@lru_cache(maxsize=64)
def _one_of(texts: tuple[str, ...]) -> re.Pattern[bytes]:
    written = b"|".join(b"(?:%s)" % pattern_of(text).pattern for text in texts)
    return re.compile(written or b"(?!)", re.DOTALL)


def _parts(text: str) -> list[str]:
    made: list[str] = []
    at = 0
    while at < len(text):
        sign = text[at]
        if text.startswith("**/", at) and (at == 0 or text[at - 1] == "/"):
            made.append("(?:[^/]+/)*")
            at += 3
        elif text.startswith("**", at):
            made.append(".*")
            at += 2
        elif sign == "[":
            end = text.find("]", at + 2)
            if end < 0:
                raise IntegrityError(
                    f"{text[:80]!r} has a [ without ]", hint="close it, or write [[] for the character"
                )
            inside = text[at + 1 : end]
            if not inside.isascii():
                raise IntegrityError(
                    f"{text[:80]!r} has more than ASCII in [ ]", hint="write one pattern for each"
                )
            turned, inside = inside.startswith("!"), inside.removeprefix("!")
            made.append(("[^/" if turned else "(?!/)[") + re.escape(inside).replace(r"\-", "-") + "]")
            at = end + 1
        else:
            made.append({"*": "[^/]*", "?": "[^/]"}.get(sign) or re.escape(sign))
            at += 1
    return made
