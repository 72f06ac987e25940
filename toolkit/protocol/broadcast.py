"""One stream for devices that fetch the same artifact at the same time. Pure; beside `serve`, driven by `fleet.depot`.

    requests of listeners -> wait a moment -> three of them: stream what two or more lack, once, at a pace of its own
                                           -> fewer: serve each alone, as ever

A listener says what it lacks. While a stream runs, a chunk that it will still bring is not sent to a listener alone;
what has passed by is. So a device that was away pulls its gap and hears the rest, and when the stream is over, or a
device does not hear it (it says so), pulling goes on: nothing ever depends on the stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from toolkit.protocol.buckets import Bucket, Rate
from toolkit.wire.digest import Digest
from toolkit.wire.request import ChunkRequest, Run, runs_of

ENOUGH: Final = 3
"""Devices that wait for one artifact before it is streamed."""
WORTH: Final = 2
"""A chunk is streamed when so many listeners lack it."""
GATHER_SECONDS: Final = 0.5
"""How long the first request of a listener is held, so that others can come."""
STALE_SECONDS: Final = 30.0
"""After this long without a request a listener counts as gone."""
BATCH_BYTES: Final = 512 * 1024
"""Read and sent at once; the pace is looked at after each."""
MAX_LISTENERS: Final = 10_000


@dataclass(frozen=True)
class Listener:
    """A device that waits for an artifact and listens."""

    since: float
    seen: float
    lacks: tuple[Run, ...]


@dataclass(frozen=True)
class Stream:
    """What is being sent to all."""

    numbers: tuple[int, ...]
    ahead: frozenset[int]
    """Of these, what has not been sent."""
    position: int = 0


@dataclass(frozen=True)
class Audience:
    """All that a depot remembers of listeners; forgetting it costs bytes, never ones that are wrong."""

    pace: Bucket
    listeners: Mapping[Digest, Mapping[str, Listener]] = field(default_factory=dict)
    held: tuple[tuple[float, ChunkRequest], ...] = ()
    """Requests that wait for others to come, with when they came."""
    streams: Mapping[Digest, Stream] = field(default_factory=dict)
    gather: float = GATHER_SECONDS


@dataclass(frozen=True)
class Batch:
    """To read and publish on the artifact's stream."""

    artifact: Digest
    numbers: tuple[int, ...]


def begin(rate: Rate, now: float) -> Audience:
    """Begin without listeners; streams together are no faster than `rate`."""
    return Audience(Bucket.full(rate, now))


def ask(held: Audience, request: ChunkRequest, now: float) -> tuple[Audience, tuple[ChunkRequest, ...]]:
    """Take a request; give those that are to be served alone now. What a stream will bring is left out of them."""
    if request.index_from is not None or not request.listens:
        return held, (request,)
    held = _note(held, request, now)
    if request.artifact in held.streams:
        return held, _rest(held, request)
    return replace(held, held=(*held.held, (now, request))), ()


def due(held: Audience, now: float) -> tuple[Audience, tuple[ChunkRequest, ...]]:
    """Begin streams where enough have come, and give the requests that are to be served alone after their wait."""
    ready = {each.artifact for came, each in held.held if now - came >= held.gather}
    alone: list[ChunkRequest] = []
    for artifact in ready:
        held = _begin_stream(held, artifact, now)
        waited = 0.0 if artifact in held.streams else held.gather
        over = [each for each in held.held if each[1].artifact == artifact and now - each[0] >= waited]
        held = replace(held, held=tuple(each for each in held.held if each not in over))
        alone += [rest for _, each in over for rest in _rest(held, each)]
    return held, tuple(alone)


def _begin_stream(held: Audience, artifact: Digest, now: float) -> Audience:
    present = _present(held, artifact, now)
    if artifact in held.streams or len(present) < ENOUGH:
        return held
    counted = Counter(number for each in present.values() for number in _numbers(each.lacks))
    numbers = tuple(sorted(number for number, count in counted.items() if count >= WORTH))
    if not numbers:
        return held
    return replace(held, streams={**held.streams, artifact: Stream(numbers, frozenset(numbers))})


def next_batch(held: Audience, sizes: Mapping[Digest, tuple[int, ...]], now: float) -> Batch | None:
    """Give what is to be streamed now; None when nothing is, or the pace says later.

    Args:
        held: the audience.
        sizes: of the chunks of each artifact that is streamed.
        now: seconds of any steady clock.
    """
    if not held.streams or held.pace.wait(now) > 0:
        return None
    artifact, stream = next(iter(held.streams.items()))
    taken: list[int] = []
    room = BATCH_BYTES
    for number in stream.numbers[stream.position :]:
        room -= sizes[artifact][number]
        if room < 0 and taken:
            break
        taken.append(number)
    return Batch(artifact, tuple(taken))


def sent(held: Audience, batch: Batch, size: int, now: float) -> Audience:
    """Note that a batch is out, with its bytes; several streams take turns."""
    stream = held.streams.get(batch.artifact)
    if stream is None:
        return held
    rest = {artifact: each for artifact, each in held.streams.items() if artifact != batch.artifact}
    position = stream.position + len(batch.numbers)
    held = replace(held, pace=held.pace.charged(size, now))
    if position >= len(stream.numbers):
        others = {artifact: each for artifact, each in held.listeners.items() if artifact != batch.artifact}
        return replace(held, streams=rest, listeners=others)
    after = replace(stream, position=position, ahead=stream.ahead - set(batch.numbers))
    return replace(held, streams={**rest, batch.artifact: after})


def drop(held: Audience, artifact: Digest) -> Audience:
    """End a stream that cannot be read; who listens pulls."""
    return replace(held, streams={each: stream for each, stream in held.streams.items() if each != artifact})


def wait(held: Audience, now: float) -> float | None:
    """Give the seconds until `due` or `next_batch` has something; None when nobody waits."""
    waits = [max(0.0, came + held.gather - now) for came, _ in held.held]
    if held.streams:
        waits.append(held.pace.wait(now))
    return min(waits, default=None)


def _note(held: Audience, request: ChunkRequest, now: float) -> Audience:
    known = held.listeners.get(request.artifact, {})
    before = known.get(request.device)
    if before is None and len(known) >= MAX_LISTENERS:
        return held
    if before is None or now - before.seen > STALE_SECONDS:
        before = Listener(now, now, request.lacks)
    lacks = request.lacks or before.lacks or request.runs
    listener = replace(before, seen=now, lacks=lacks)
    return replace(held, listeners={**held.listeners, request.artifact: {**known, request.device: listener}})


def _present(held: Audience, artifact: Digest, now: float) -> dict[str, Listener]:
    known = held.listeners.get(artifact, {})
    return {device: each for device, each in known.items() if now - each.seen <= STALE_SECONDS}


def _rest(held: Audience, request: ChunkRequest) -> tuple[ChunkRequest, ...]:
    """Leave out of a request what the stream will still bring; nothing when that is all of it."""
    stream = held.streams.get(request.artifact)
    if stream is None:
        return (request,)
    numbers = sorted({number for number in _numbers(request.runs) if number not in stream.ahead})
    return (msgspec.structs.replace(request, runs=runs_of(numbers)),) if numbers else ()


def _numbers(runs: Iterable[Run]) -> Iterable[int]:
    for run in runs:
        yield from range(run.first, run.first + run.length)
