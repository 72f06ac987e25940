"""Listen to an artifact's stream while it is fetched, and say so in each request.

Beside `transfer`; the stream's frames go into the same transfer as answers do. The depot does not send a listener what
the stream will bring. When the stream has been silent for SILENT_SECONDS, requests stop saying that we listen, and
everything is answered again: so a stream that does not reach us costs that time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from toolkit.protocol.transfer import Transfer
from toolkit.wire.digest import Digest
from toolkit.wire.request import MAX_LACKS, ChunkRequest, Run, runs_of

SILENT_SECONDS: Final = 5.0
TELL_SECONDS: Final = 2.0
"""How often a request says all that is lacking."""


class Listening:
    """One fetch's ear. For the control thread."""

    def __init__(
        self, artifact: Digest, listen: Callable[[Digest, bool], None], now: Callable[[], float]
    ) -> None:
        """Begin to listen.

        Args:
            artifact: what is fetched.
            listen: subscribes the artifact's stream, or takes that back.
            now: seconds of a clock that only grows.
        """
        self._artifact = artifact
        self._listen = listen
        self._now = now
        self._heard_at = now()
        self._told_at = -TELL_SECONDS
        listen(artifact, True)  # noqa: FBT003 -- a callback

    def heard(self) -> None:
        """Note that the stream speaks."""
        self._heard_at = self._now()

    def again(self) -> None:
        """Note that the link stands again: the stream may, too."""
        self._heard_at = self._now()
        self._told_at = self._heard_at - TELL_SECONDS

    def mark(self, request: ChunkRequest, transfer: Transfer) -> ChunkRequest:
        """Give the request as a listener makes it; unchanged when the stream is silent."""
        now = self._now()
        if now - self._heard_at >= SILENT_SECONDS:
            return request
        lacks: tuple[Run, ...] = ()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            lacks = _few(runs_of([n for n in transfer.have.missing() if not transfer.is_here(n)]))
        return msgspec.structs.replace(request, format=0, listens=True, lacks=lacks)

    def stop(self) -> None:
        """Listen no more."""
        self._listen(self._artifact, False)  # noqa: FBT003 -- a callback


def _few(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Give at most MAX_LACKS runs, the narrowest gaps between them closed: too much is said rather than too little."""
    found = list(runs)
    if len(found) <= MAX_LACKS:
        return tuple(found)
    gaps = sorted(
        range(1, len(found)), key=lambda at: found[at].first - found[at - 1].first - found[at - 1].length
    )
    kept = set(gaps[len(found) - MAX_LACKS :])
    merged = [found[0]]
    for at in range(1, len(found)):
        if at in kept:
            merged.append(found[at])
        else:
            last = found[at]
            merged[-1] = Run(merged[-1].first, last.first + last.length - merged[-1].first)
    return tuple(merged)
