"""Carry out what `protocol.transfer` decides: publish requests, let the disk check and write, commit, count.

One `Fetch` an artifact that is being fetched; `install` starts and stops them, `daemon` brings link events and time.
Everything but the disk's jobs runs in the control thread. The order on disk is always data, fdatasync, bitmap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from edge_runtime.index_fetch import IndexFetch, LinkNews, Surroundings
from edge_runtime.part import Part
from edge_runtime.roads import Roads
from edge_runtime.store import Tally
from edge_runtime.stream import Listening
from toolkit.errors import IntegrityError
from toolkit.protocol import transfer
from toolkit.protocol.buckets import Rate
from toolkit.protocol.exchange import (
    ChunkBad,
    ChunksStored,
    Commit,
    Committed,
    Disconnected,
    Finished,
    FrameArrived,
    GivenUp,
    Reconnected,
    Request,
)
from toolkit.protocol.exchange import Store as StoreChunk
from toolkit.wire.chunk import view_chunk
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef
from toolkit.wire.manifest import Manifest
from toolkit.wire.request import ChunkRequest, encode_request

log = logging.getLogger(__name__)
__all__ = ["ChunkFetch", "Fetches", "Surroundings", "disk_failure"]
_STARTS = 1 << 10
_EPOCHS_A_START = 1 << 22
_EPOCHS_A_FETCH = 1 << 16
"""An epoch has 32 bits. Numbers from here on keep a late frame from being taken for the answer to a new request."""


SMALLEST_BURST = 64 * 1024
"""Bytes that a limited fetch may ask for at once; else it is what it may in a second."""


class ChunkFetch:
    """Fetches the chunks that the bitmap lacks. `done` gets `Finished` or why not."""

    def __init__(
        self,
        around: Surroundings,
        artifact: Digest,
        chunks: tuple[ChunkRef, ...],
        epoch: int,
        done: Callable[[Finished | GivenUp], None],
    ) -> None:
        """Open the part file on the disk thread, then begin (when `Reconnected` has been told)."""
        self._around = around
        self.artifact = self._artifact = artifact
        self._chunks = chunks
        self._done: Callable[[Finished | GivenUp], None] | None = done
        self._base = around.store.tally(artifact)
        self._part: Part | None = None
        self._roads = self._second_road()
        self._listening = Listening(artifact, around.listen, around.now) if around.listen else None
        self._connected = False
        self.rate = Rate()
        self._held: transfer.Transfer | None = None
        around.disk.submit(
            lambda: around.open_part(around.folders.part(artifact), chunks),
            lambda part: self._begin(part, epoch),
            self._disk_failed,
        )

    @property
    def tally(self) -> Tally:
        """What has come for the artifact so far, before this fetch too."""
        if self._held is None:
            return self._base
        base, counters = self._base, self._held.counters
        return replace(
            base,
            received=base.received + counters.received,
            resent=base.resent + counters.resent,
            bad=base.bad + counters.bad,
        )

    @property
    def have(self) -> int:
        """Number of chunks that are durable."""
        if self._held is None:
            return self._around.store.bitmap(self._artifact, len(self._chunks)).count
        return self._held.have.count

    def tell(self, event: LinkNews) -> None:
        """Take in what happened and do what follows."""
        if isinstance(event, Reconnected | Disconnected):
            self._connected = isinstance(event, Reconnected)
            if self._roads is not None:
                self._roads.link(up=self._connected)
                event = Reconnected()  # what was under way is asked for again, on the road that is left
            if self._connected and self._listening is not None:
                self._listening.again()
        self._step(event)

    def streamed(self, artifact: Digest, payload: bytes) -> None:
        """Take a frame of a stream, if it is this artifact's."""
        if artifact == self._artifact and self._listening is not None:
            self._listening.heard()
            self._step(FrameArrived(payload))

    def limit(self, rate: Rate) -> None:
        """Ask for no more than this in a second from now on."""
        self.rate = rate
        if self._held is not None:
            self._held = transfer.limited(self._held, rate, self._around.now())

    def stop(self) -> None:
        """Give up; jobs that are queued still end."""
        self._done = None
        if self._roads is not None:
            self._roads.stop()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.stop()
        part, self._part = self._part, None
        if part is not None:
            self._around.disk.submit(part.close, lambda _: None, lambda _: None)

    # ------------------------------------------------------------ inside
    def _begin(self, part: Part, epoch: int) -> None:
        self._part = part
        if self._done is None:
            self.stop()
            return
        around = self._around
        self._held, actions = transfer.begin(
            around.device,
            self._artifact,
            self._chunks,
            around.store.bitmap(self._artifact, len(self._chunks)),
            epoch=epoch,
            max_frame_bytes=around.max_frame_bytes,
            settings=around.settings,
        )
        self.limit(self.rate)
        self._act(actions)
        if self._connected or self._roads is not None:
            self._step(Reconnected())

    def _step(self, event: transfer.TransferEvent) -> None:
        if self._held is None or self._done is None:
            return
        self._held, actions = transfer.step(self._held, event, self._around.now())
        self._act(actions)
        if self._roads is not None:
            self._roads.look(self._held)

    def _second_road(self) -> Roads | None:
        around = self._around
        if around.second is None:
            return None

        def take(frame: bytes) -> None:
            self._step(FrameArrived(frame))

        return Roads(around.second, self._artifact, self._chunks, around.send, around.now, take)

    def _act(self, actions: tuple[transfer.TransferAction, ...]) -> None:
        chunks = [action for action in actions if isinstance(action, StoreChunk)]
        if chunks:
            self._store(chunks)
        for action in actions:
            if isinstance(action, StoreChunk):
                continue
            if isinstance(action, Request):
                self._request(action.request)
            elif isinstance(action, Commit):
                self._commit(action)
            else:
                self._finish(action)

    def _request(self, request: ChunkRequest) -> None:
        if self._listening is not None and self._held is not None:
            request = self._listening.mark(request, self._held)
        if self._roads is None or self._held is None:
            self._around.send(encode_request(request))
        else:
            self._roads.request(request, self._held)

    def _store(self, actions: list[StoreChunk]) -> None:
        """Let the disk check and write what came in one frame."""
        part, roads = self._part, self._roads
        road = roads.taking if roads is not None else None

        def job() -> list[int]:
            bad: list[int] = []
            for action in actions:
                chunk = self._chunks[action.number]
                try:
                    data = view_chunk(action.stored, chunk.digest, chunk.size)
                except IntegrityError as error:
                    log.warning("%s: %s", self._artifact[:12], error)
                    bad.append(action.number)
                    continue
                if part is not None:
                    part.write(action.number, data)
            return bad

        def done(bad: list[int]) -> None:
            self._step(ChunksStored(tuple(each.number for each in actions if each.number not in bad)))
            if bad and roads is not None and road is not None:
                roads.lied(road)
            for number in bad:
                self._step(ChunkBad(number))

        self._around.disk.submit(job, done, self._disk_failed)

    def _commit(self, action: Commit) -> None:
        part, store, tally = self._part, self._around.store, self.tally

        def job() -> None:
            if part is None:
                return
            part.sync()
            have = store.bitmap(self._artifact, len(self._chunks)).with_set(action.numbers)
            store.save_progress(self._artifact, have, tally)

        self._around.disk.submit(job, lambda _: self._step(Committed(action.numbers)), self._disk_failed)

    def _disk_failed(self, error: Exception) -> None:
        self._finish(GivenUp(*disk_failure(error)))

    def _finish(self, ending: Finished | GivenUp) -> None:
        done = self._done
        self._around.keep_tally(self._artifact, self.tally)
        self.stop()
        if done is not None:
            done(ending)


class Fetches:
    """What is being fetched for each model; at most one fetch a model. For the control thread."""

    def __init__(self, around: Surroundings, starts: int) -> None:
        """Prepare; `starts` keeps the epochs of this start apart from those of the last one."""
        self._around = around
        self._epoch = (starts % _STARTS) * _EPOCHS_A_START
        self._connected = False
        self._bytes_per_second = 0
        self._indexes: dict[str, IndexFetch] = {}
        self.chunks: dict[str, ChunkFetch] = {}

    def start_index(
        self, model: str, artifact: Digest, manifest: Manifest, done: Callable[[bytes | GivenUp], None]
    ) -> None:
        """Begin to fetch an index."""
        self.stop(model)

        def ended(result: bytes | GivenUp) -> None:
            self._indexes.pop(model, None)
            done(result)

        fetch = IndexFetch(self._around, artifact, manifest, self._next_epoch(), ended)
        self._indexes[model] = fetch
        if self._connected:
            fetch.tell(Reconnected())

    def start_chunks(
        self,
        model: str,
        artifact: Digest,
        chunks: tuple[ChunkRef, ...],
        done: Callable[[Finished | GivenUp], None],
    ) -> None:
        """Begin to fetch what is lacking of an artifact."""
        self.stop(model)

        def ended(result: Finished | GivenUp) -> None:
            self.chunks.pop(model, None)
            self._share()
            done(result)

        fetch = ChunkFetch(self._around, artifact, chunks, self._next_epoch(), ended)
        self.chunks[model] = fetch
        self._share()
        if self._connected:
            fetch.tell(Reconnected())

    def stop(self, model: str) -> None:
        """Give up what is being fetched for a model."""
        index, chunks = self._indexes.pop(model, None), self.chunks.pop(model, None)
        if index is not None:
            index.stop()
        if chunks is not None:
            chunks.stop()
            self._share()

    def limit(self, bytes_per_second: int) -> None:
        """Let chunks come no faster than this, all models together; 0 is no limit."""
        self._bytes_per_second = bytes_per_second
        self._share()

    def _share(self) -> None:
        if self.chunks:
            share = self._bytes_per_second / len(self.chunks)
            for fetch in self.chunks.values():
                fetch.limit(Rate(share, max(share, SMALLEST_BURST)))

    def streamed(self, artifact: Digest, payload: bytes) -> None:
        """Pass on a frame of an artifact's stream."""
        for chunks in list(self.chunks.values()):
            chunks.streamed(artifact, payload)

    def tell(self, event: LinkNews) -> None:
        """Pass on what happened on the link, or that time has passed."""
        if isinstance(event, Reconnected | Disconnected):
            self._connected = isinstance(event, Reconnected)
        for index in list(self._indexes.values()):
            index.tell(event)
        for chunks in list(self.chunks.values()):
            chunks.tell(event)

    @property
    def connected(self) -> bool:
        """Whether the link stands."""
        return self._connected

    @property
    def active(self) -> bool:
        """Whether anything is being fetched."""
        return bool(self._indexes or self.chunks)

    def _next_epoch(self) -> int:
        self._epoch += _EPOCHS_A_FETCH
        return self._epoch


def disk_failure(error: Exception) -> tuple[str, str]:
    """Give the code and the reason of a disk that cannot be written or read."""
    full = isinstance(error, OSError) and error.errno in _FULL
    return ("no-space" if full else "io-error"), f"the disk: {error}"


_FULL = frozenset({28, 122})
"""ENOSPC and EDQUOT."""
