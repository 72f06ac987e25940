"""Heads of requests that were read before: a client sends the same one all day, and only its body changes.

The `reader` keeps here what the strict parser made of a head, under its very bytes, and does not parse these again.
Who may ask is looked at each time all the same, because that can change. Heads with a secret or with something that is
new each time are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

END: Final = b"\r\n\r\n"
LONGEST: Final = 1024
"""Bytes of a head that is kept."""
MOST: Final = 256
"""Heads that are kept; when one more comes, all are forgotten."""
NEVER: Final = frozenset({"authorization", "proxy-authorization", "cookie", "expect", "traceparent"})
"""Headers whose requests are read anew each time."""


@dataclass(slots=True)
class Head:
    """What the head of a request says. Nobody changes one: it may be that of many requests."""

    method: str
    target: bytes
    """As it was sent."""
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    version: str
    keep_alive: bool
    length: int
    """Bytes of the body."""
    header_length: str
    """Value of Inference-Header-Content-Length; "" without one."""


NO_HEAD: Final = Head("", b"", "", {}, "", keep_alive=False, length=0, header_length="")
"""Stands where no head has come yet."""


class Heads:
    """What was read before."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[bytes, Head] = {}
        self.find = self._known.get
        """Give the head with these bytes, its empty line included, if it is known."""

    def keep(self, data: bytes, head: Head) -> None:
        """Remember what these bytes say: all from the first of a request to the empty line, and nothing behind it.

        A lone LF, where lenient readers see the end of a line, keeps a head from being remembered.
        """
        if (
            len(data) > LONGEST
            or not NEVER.isdisjoint(head.headers)
            or data.find(END) != len(data) - len(END)
        ):
            return
        if data.count(b"\n") != data.count(b"\r\n"):
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[data] = head
