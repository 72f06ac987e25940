"""Fetch an index or chunks for a simulated device: what `protocol` decides, done in memory.

The part of `edge_runtime.transfer`: requests are sent, each chunk is unpacked and its digest checked, and then only its
bit is kept. The order is the device's: stored, then committed, then in the bitmap. Used by `device`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from toolkit.errors import IntegrityError
from toolkit.protocol import index_transfer, transfer
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.exchange import (
    ChunkBad,
    ChunkStored,
    Commit,
    Committed,
    Disconnected,
    Finished,
    FrameArrived,
    GivenUp,
    Reconnected,
    Request,
    Store,
    Tick,
)
from toolkit.protocol.index_transfer import IndexArrived, IndexTransfer
from toolkit.protocol.pace import PaceSettings
from toolkit.protocol.transfer import Transfer, TransferAction, TransferEvent
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef
from toolkit.wire.manifest import Manifest
from toolkit.wire.request import encode_request

LinkNews = FrameArrived | Tick | Reconnected | Disconnected
_EPOCHS_A_FETCH = 1 << 16
"""Keeps a late frame of one fetch from being taken for the answer to another one's request."""


class Fetch:
    """At most one fetch at a time. For one thread."""

    def __init__(self, device: str, send: Callable[[bytes], None], *, max_frame_bytes: int) -> None:
        """Prepare; `send` publishes a request."""
        self._device = device
        self._send = send
        self._max_frame_bytes = max_frame_bytes
        self._settings = PaceSettings()
        self._epoch = 0
        self._connected = False
        self._index: IndexTransfer | None = None
        self._chunks: Transfer | None = None
        self._index_done: Callable[[bytes | GivenUp], None] | None = None
        self._chunks_done: Callable[[Finished | GivenUp], None] | None = None
        self.received = 0
        """Stored bytes that came since the device was made, index included."""
        self.resent = 0
        self.bad = 0

    @property
    def active(self) -> bool:
        """Whether anything is being fetched."""
        return self._index is not None or self._chunks is not None

    @property
    def have(self) -> Bitmap | None:
        """The chunks that are here of the artifact that is being fetched."""
        return self._chunks.have if self._chunks is not None else None

    def start_index(
        self, artifact: Digest, manifest: Manifest, done: Callable[[bytes | GivenUp], None], now: float
    ) -> None:
        """Begin to fetch an index; `done` gets its bytes, or why not."""
        self.stop()
        self._index_done = done
        self._index = index_transfer.begin(
            self._device,
            artifact,
            manifest.index,
            manifest.index_bytes,
            epoch=self._next_epoch(),
            max_frame_bytes=self._max_frame_bytes,
            settings=self._settings,
        )
        if self._connected:
            self.tell(Reconnected(), now)

    def start_chunks(
        self,
        artifact: Digest,
        refs: tuple[ChunkRef, ...],
        have: Bitmap,
        done: Callable[[Finished | GivenUp], None],
        now: float,
    ) -> None:
        """Begin to fetch what `have` lacks; `done` gets `Finished`, or why not."""
        self.stop()
        self._chunks_done = done
        self._chunks, actions = transfer.begin(
            self._device,
            artifact,
            refs,
            have,
            epoch=self._next_epoch(),
            max_frame_bytes=self._max_frame_bytes,
            settings=self._settings,
        )
        self._act(actions, now)
        if self._connected:
            self.tell(Reconnected(), now)

    def stop(self) -> None:
        """Give up what is being fetched."""
        self._index = self._chunks = None
        self._index_done = self._chunks_done = None

    def tell(self, event: LinkNews, now: float) -> None:
        """Pass on what happened on the link, or that time has passed."""
        if isinstance(event, Reconnected | Disconnected):
            self._connected = isinstance(event, Reconnected)
        if self._index is not None:
            self._step_index(self._index, event, now)
        elif self._chunks is not None:
            self._step(event, now)

    # ------------------------------------------------------------ inside
    def _step_index(self, held: IndexTransfer, event: LinkNews, now: float) -> None:
        self._index, actions = index_transfer.step(held, event, now)
        self.received += self._index.received - held.received
        self.resent += self._index.resent - held.resent
        for action in actions:
            if isinstance(action, Request):
                self._send(encode_request(action.request))
                continue
            done = self._index_done
            self.stop()
            if done is not None:
                done(action.data if isinstance(action, IndexArrived) else action)

    def _step(self, event: TransferEvent, now: float) -> None:
        if self._chunks is None:
            return
        before = self._chunks.counters
        self._chunks, actions = transfer.step(self._chunks, event, now)
        after = self._chunks.counters
        self.received += after.received - before.received
        self.resent += after.resent - before.resent
        self.bad += after.bad - before.bad
        self._act(actions, now)

    def _act(self, actions: tuple[TransferAction, ...], now: float) -> None:
        todo = deque(actions)
        while todo and self._chunks is not None:
            action = todo.popleft()
            if isinstance(action, Request):
                self._send(encode_request(action.request))
            elif isinstance(action, Store):
                self._step(self._stored(self._chunks, action), now)
            elif isinstance(action, Commit):
                self._step(Committed(action.numbers), now)
            else:
                done = self._chunks_done
                self.stop()
                if done is not None:
                    done(action)

    @staticmethod
    def _stored(held: Transfer, action: Store) -> ChunkStored | ChunkBad:
        """Prove a chunk as a device does; where it would write the bytes, they are let go."""
        chunk = held.chunks[action.number]
        try:
            open_chunk(action.stored, chunk.digest, chunk.size)
        except IntegrityError:
            return ChunkBad(action.number)
        return ChunkStored(action.number)

    def _next_epoch(self) -> int:
        self._epoch += _EPOCHS_A_FETCH
        return self._epoch
