"""What devices shall forget of the answers that they keep of a model: retained on `k/MODEL`, heard by `serving.cache`.

Nobody signs it: it only removes, and what was removed is computed again. Because it is retained and each names the one
before, a device that was away learns that it missed some, and then forgets all of that model: a chain that does not fit
costs time and never gives an old answer. Two writers that do not know of each other are two such chains.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, decode_json

MOST_LABELS: Final = 256
LONGEST_LABEL: Final = 128
_MARK: Final = re.compile(r"[0-9a-f]{16,64}")


class Forget(Document, frozen=True, kw_only=True):
    """Labels or a pattern of them; neither means every answer of the model, also those without a label."""

    FORMAT: ClassVar[int] = 1
    mark: str
    """Random; the name of this message."""
    after: str = ""
    """Mark of the message before it on this topic."""
    labels: tuple[str, ...] = ()
    """What questions called themselves by the parameter `cache_id`."""
    pattern: str = ""
    """Where `*` stands for any characters, none too."""

    @property
    def everything(self) -> bool:
        """Whether all answers of the model are meant."""
        return not self.labels and not self.pattern

    def means(self, label: str) -> bool:
        """Say whether answers of this label shall be forgotten; those without one only with all others."""
        if self.everything:
            return True
        if not label:
            return False
        return label in self.labels or bool(self.pattern and matches(self.pattern, label))


def matches(pattern: str, text: str) -> bool:
    """Say whether a text has the form of a pattern, where `*` stands for any characters.

    The pattern comes from a network, so no regular expression is made of it: this takes len(pattern) × len(text) steps
    at most (the last `*` alone is ever tried again).
    """
    at = place = 0
    star, star_place = -1, 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, star_place, at = at, place, at + 1
        elif at < len(pattern) and pattern[at] == text[place]:
            at, place = at + 1, place + 1
        elif star >= 0:
            star_place += 1
            at, place = star + 1, star_place
        else:
            return False
    return all(rest == "*" for rest in pattern[at:])


def decode_forget(data: bytes, *, what: str) -> Forget:
    """Read such a document, which may come from anybody.

    Raises:
        IntegrityError: it is none, or is larger than it may be.
    """
    forget = decode_json(data, Forget, what=what)
    if not _MARK.fullmatch(forget.mark) or (forget.after and not _MARK.fullmatch(forget.after)):
        raise IntegrityError(f"{what}: a mark is 16 to 64 hexadecimal characters")
    if len(forget.labels) > MOST_LABELS:
        raise IntegrityError(
            f"{what} has {len(forget.labels)} labels", hint=f"send {MOST_LABELS} at a time, or a pattern"
        )
    if (
        any(not 0 < len(label) <= LONGEST_LABEL for label in forget.labels)
        or len(forget.pattern) > LONGEST_LABEL
    ):
        raise IntegrityError(f"{what}: labels and patterns have 1 to {LONGEST_LABEL} characters")
    return forget
