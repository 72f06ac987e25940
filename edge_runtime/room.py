"""Make room on the disk for an offer that does not fit: first what nobody needs, then what other models can give up.

`offers` asks when `protocol.offer` says no-space and judges again afterwards; `protocol.room` chooses. What a model
gives up is saved before it is deleted, so a crash in between leaves something over and never something missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from edge_runtime.shelf import Shelf
from edge_runtime.worker import Worker
from toolkit.errors import TiersError
from toolkit.protocol.install import needs
from toolkit.protocol.installation import Evicted, Given, Installation
from toolkit.protocol.room import choose

log = logging.getLogger(__name__)


class Room:
    """Makes room. For the control thread."""

    def __init__(
        self,
        held: Callable[[], Mapping[str, Installation]],
        give: Callable[[str, Given], None],
        shelf: Shelf,
        disk: Worker,
    ) -> None:
        """Prepare.

        Args:
            held: gives all installations by model.
            give: tells a model's installation what happened.
            shelf: what lies on the disk.
            disk: the disk thread.
        """
        self._held = held
        self._give = give
        self._shelf = shelf
        self._disk = disk

    def make(self, model: str, short_bytes: int, done: Callable[[], None]) -> bool:
        """Delete what nobody needs and, if bytes are lacking, what other models can give up; `done` comes after it.

        Returns:
            Whether there is a way; if not, nothing is given up and `done` does not come.
        """
        if short_bytes:
            chosen = choose(self._held().values(), model, self._size_of, short_bytes)
            for other, artifacts in chosen.items():
                log.warning("%s gives up %s for %s", other, ", ".join(each[:12] for each in artifacts), model)
                self._give(other, Evicted(artifacts))
            if not chosen:
                return False

        def failed(error: Exception) -> None:
            log.warning("making room for %s failed: %s", model, error)
            done()

        clean = partial(self._shelf.clean, lambda: [needs(each) for each in list(self._held().values())])
        self._disk.submit(clean, lambda _: done(), failed)
        return True

    def _size_of(self, artifact: str) -> int:
        try:
            return self._shelf.held_bytes(artifact)
        except (TiersError, OSError):
            return 0  # nothing of it is here
