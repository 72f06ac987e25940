"""Send an artifact once to all that fetch it at the same time: carries out what `protocol.broadcast` decides.

Beside `depot`, in its thread: the depot hands every request over first and serves alone what comes back. Chunks are
read and checked as for any device; one that is damaged is left out, and whoever asks for it alone hears why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.errors import IntegrityError
from toolkit.link.link import Link
from toolkit.protocol import broadcast
from toolkit.protocol.buckets import Rate
from toolkit.protocol.framing import chunk_frames
from toolkit.wire.digest import Digest
from toolkit.wire.request import ChunkRequest, Run, decode_request, encode_request
from toolkit.wire.topics import Topics

STREAM_EPOCH = 0
"""Answers no request."""

log = logging.getLogger(__name__)


@dataclass
class StreamCounters:
    """What has been streamed since the start."""

    streams: int = 0
    bytes_sent: int = 0


class Streamer:
    """The streams of a depot. For its thread."""

    def __init__(self, link: Link, topics: Topics, rate: Rate, frame_bytes: int, now: float) -> None:
        """Begin without listeners.

        Args:
            link: of the depot.
            topics: of the site.
            rate: of all streams together.
            frame_bytes: largest frame. A chunk that does not fit comes in pieces, which only those put together who
                have asked for it; the others pull it afterwards.
            now: seconds of any steady clock.
        """
        self._link = link
        self._topics = topics
        self._frame_bytes = frame_bytes
        self._held = broadcast.begin(rate, now)
        self._sizes: dict[Digest, tuple[int, ...]] = {}
        self.counters = StreamCounters()

    def take(
        self,
        device: str,
        payload: bytes,
        sizes_of: Callable[[Digest], tuple[int, ...] | None],
        now: float,
    ) -> tuple[tuple[str, bytes], ...]:
        """Take a request; give device and payload of each request that is to be served alone.

        Args:
            device: on whose topic it came.
            payload: as it came; what cannot be read is given back for the depot to refuse.
            sizes_of: gives the sizes of an artifact's chunks; None when it cannot be served.
            now: seconds of any steady clock.
        """
        try:
            request = decode_request(payload)
        except IntegrityError:
            return ((device, payload),)
        if not request.listens or request.device != device:
            return ((device, payload),)
        sizes = sizes_of(request.artifact)
        if sizes is None or not _fits((*request.runs, *request.lacks), len(sizes)):
            return ((device, payload),)
        self._sizes[request.artifact] = sizes
        self._held, alone = broadcast.ask(self._held, request, now)
        return _written(alone)

    def due(self, now: float) -> tuple[tuple[str, bytes], ...]:
        """Begin streams where enough wait; give what has waited for company in vain."""
        before = set(self._held.streams)
        self._held, alone = broadcast.due(self._held, now)
        for artifact in set(self._held.streams) - before:
            self.counters.streams += 1
            count, listeners = len(self._held.streams[artifact].numbers), self._held.listeners[artifact]
            log.info("artifact %s: %d chunks to %d devices at once", artifact[:12], count, len(listeners))
        return _written(alone)

    def wait(self, now: float) -> float | None:
        """Give the seconds until there is something to do; None when there is nothing."""
        return broadcast.wait(self._held, now)

    def send(
        self, read: Callable[[Digest, tuple[int, ...]], list[tuple[int, bytes]] | None], now: float
    ) -> None:
        """Send the next batch, if the pace allows one.

        Args:
            read: gives number and stored bytes of chunks, without those that are damaged; None when the registry is
                away, which ends the stream.
            now: seconds of any steady clock.
        """
        batch = broadcast.next_batch(self._held, self._sizes, now)
        if batch is None:
            return
        stored = read(batch.artifact, batch.numbers)
        if stored is None:
            self._held = broadcast.drop(self._held, batch.artifact)
            return
        size = 0
        topic = self._topics.stream(batch.artifact)
        for frame in chunk_frames(batch.artifact, STREAM_EPOCH, stored, self._frame_bytes):
            self._link.publish(topic, frame)
            size += len(frame)
        self.counters.bytes_sent += size
        self._held = broadcast.sent(self._held, batch, size, now)


def _fits(runs: tuple[Run, ...], count: int) -> bool:
    return all(run.first + run.length <= count for run in runs)


def _written(requests: tuple[ChunkRequest, ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((each.device, encode_request(each)) for each in requests)
