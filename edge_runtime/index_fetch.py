"""Fetch an artifact's index, the first half of every fetch, and what both halves stand on.

Carries out what `protocol.index_transfer` decides; `transfer` does the same for chunks and starts both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.folders import Folders
from edge_runtime.part import Part
from edge_runtime.roads import SecondRoad
from edge_runtime.store import Store, Tally
from edge_runtime.worker import Worker
from toolkit.errors import StoreError
from toolkit.protocol import index_transfer
from toolkit.protocol.exchange import (
    Disconnected,
    FrameArrived,
    GivenUp,
    Reconnected,
    Request,
    Tick,
)
from toolkit.protocol.index_transfer import IndexArrived
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef
from toolkit.wire.manifest import Manifest
from toolkit.wire.request import encode_request

log = logging.getLogger(__name__)
LinkNews = FrameArrived | Tick | Reconnected | Disconnected


@dataclass(frozen=True)
class Surroundings:
    """What every fetch needs."""

    device: str
    store: Store
    folders: Folders
    disk: Worker
    send: Callable[[bytes], None]
    """Publishes a request."""
    now: Callable[[], float]
    max_frame_bytes: int
    settings: PaceSettings
    open_part: Callable[[Path, tuple[ChunkRef, ...]], Part] = Part
    """Opens a part file."""
    second: SecondRoad | None = None
    """The road beside MQTT's, if there is one."""
    listen: Callable[[Digest, bool], None] | None = None
    """Subscribes the stream of an artifact, or takes that back; None never listens."""

    def keep_tally(self, artifact: Digest, tally: Tally) -> None:
        """Save counts; a disk that takes none must not keep a fetch from ending."""
        try:
            self.store.save_tally(artifact, tally)
        except StoreError as error:
            log.warning("%s", error.message)


class IndexFetch:
    """Fetches an index. `done` gets its bytes, or why not."""

    def __init__(
        self,
        around: Surroundings,
        artifact: Digest,
        manifest: Manifest,
        epoch: int,
        done: Callable[[bytes | GivenUp], None],
    ) -> None:
        """Prepare; `Reconnected` makes it begin."""
        self._around = around
        self._done: Callable[[bytes | GivenUp], None] | None = done
        self._artifact = artifact
        self._base = around.store.tally(artifact)
        self._held = index_transfer.begin(
            around.device,
            artifact,
            manifest.index,
            manifest.index_bytes,
            epoch=epoch,
            max_frame_bytes=around.max_frame_bytes,
            settings=around.settings,
        )

    @property
    def tally(self) -> Tally:
        """What has come for the artifact so far, before this fetch too."""
        base, held = self._base, self._held
        return replace(base, received=base.received + held.received, resent=base.resent + held.resent)

    def tell(self, event: LinkNews) -> None:
        """Take in what happened and do what follows."""
        self._held, actions = index_transfer.step(self._held, event, self._around.now())
        for action in actions:
            if isinstance(action, Request):
                self._around.send(encode_request(action.request))
                continue
            self._around.keep_tally(self._artifact, self.tally)
            done, self._done = self._done, None
            if done is not None:
                done(action.data if isinstance(action, IndexArrived) else action)

    def stop(self) -> None:
        """Give up."""
        self._done = None
