"""The depot's side of a transfer. Pure: it is told what devices ask for, says what to read, and gives frames to send.

`fleet.depot` drives it: it hands over each request, looks an artifact up when asked to, reads (and checks) the chunks
of a `Load`, and publishes each `Send`. Devices take turns, a batch of a few frames each, inside a byte rate for each
device and one for all; what a device asks for twice is sent once, under the newer epoch. Nothing that arrives is
trusted: requests are checked in full, queues are bounded, unknown artifacts are looked up at most once in a while.
"""

from __future__ import annotations

import msgspec

from toolkit.errors import IntegrityError
from toolkit.protocol.buckets import Bucket
from toolkit.protocol.framing import MIN_FRAME_BYTES, chunk_frames, index_frames
from toolkit.protocol.record import replace
from toolkit.protocol.supply import (
    BATCH_FRAMES,
    BUSY_MS,
    DUPLICATE_SECONDS,
    MAX_DEVICES,
    MAX_PARKED,
    MAX_QUEUED_CHUNKS,
    UNKNOWN_SECONDS,
    Asked,
    Job,
    Limits,
    Load,
    Loaded,
    LookUp,
    Offer,
    Offered,
    Refused,
    Send,
    ServeAction,
    ServeEvent,
    Serving,
    Unknown,
    Unreadable,
    Wake,
    Work,
)
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.frame import FRAME_OVERHEAD, PIECE_OVERHEAD, Refusal, encode_refusal
from toolkit.wire.request import ChunkRequest, decode_request

Step = tuple[Serving, tuple[ServeAction, ...]]


def begin(limits: Limits, now: float) -> Serving:
    """Begin with nothing to do; `now` is in seconds of any steady clock."""
    return Serving(limits, Bucket.full(limits.overall, now))


def step(held: Serving, event: ServeEvent, now: float) -> Step:
    """Take one event and say what to do."""
    actions: tuple[ServeAction, ...] = ()
    if isinstance(event, Asked):
        held, actions = _asked(held, event, now)
    elif isinstance(event, Offered):
        held = replace(held, offers={**held.offers, event.offer.artifact: event.offer})
        held, actions = _unpark(held, event.offer.artifact, now)
    elif isinstance(event, Unknown):
        unknown = {each: value for each, value in held.unknown.items() if value[0] > now}
        unknown[event.artifact] = (now + UNKNOWN_SECONDS, event.reason)
        held, actions = _unpark(replace(held, unknown=unknown), event.artifact, now)
    elif isinstance(event, (Loaded, Unreadable)):
        held, actions = _loaded(held, event, now)
    held, more = _next(held, now)
    return held, actions + more


# ---------------------------------------------------------------- requests come in
def _asked(held: Serving, event: Asked, now: float) -> Step:
    seen = {each: came for each, came in held.seen.items() if now - came < DUPLICATE_SECONDS}
    key = (event.device, digest_of(event.payload))
    if key in seen:
        return replace(held, seen=seen), ()
    seen[key] = now
    held = replace(held, seen=seen)
    try:
        request = decode_request(event.payload)
    except IntegrityError as error:
        return held, (Refused(event.device, None, error.message),)
    if request.device != event.device:
        reason = f"it came on the topic of {event.device} and speaks for {request.device[:70]!r}"
        return held, _refuse(
            msgspec.structs.replace(request, device=event.device), Refusal.BAD_REQUEST, reason
        )
    return _admit(held, request, now)


def _admit(held: Serving, request: ChunkRequest, now: float) -> Step:
    offer = held.offers.get(request.artifact)
    if offer is None:
        return _look_up(held, request, now)
    reason = _fault(request, offer)
    if reason:
        return held, _refuse(request, Refusal.BAD_REQUEST, reason)
    return _enqueue(held, request)


def _look_up(held: Serving, request: ChunkRequest, now: float) -> Step:
    until, reason = held.unknown.get(request.artifact, (0.0, ""))
    if until > now:
        wait = int((until - now) * 1000) + 1
        return held, _refuse(request, Refusal.UNKNOWN_ARTIFACT, reason or "not in the registry", wait)
    if len(held.parked) >= MAX_PARKED:
        return held, _refuse(request, Refusal.BUSY, "too many artifacts are being looked up", BUSY_MS)
    asked_already = any(parked.artifact == request.artifact for parked in held.parked)
    held = replace(held, parked=(*held.parked, request))
    return held, () if asked_already else (LookUp(request.artifact),)


def _unpark(held: Serving, artifact: Digest, now: float) -> Step:
    waiting = [request for request in held.parked if request.artifact == artifact]
    held = replace(held, parked=tuple(request for request in held.parked if request.artifact != artifact))
    actions: tuple[ServeAction, ...] = ()
    for request in waiting:
        held, more = _admit(held, request, now)
        actions += more
    return held, actions


def _fault(request: ChunkRequest, offer: Offer) -> str:
    """Say what is wrong with a request for something we have; nothing when it is right."""
    if request.max_frame_bytes < MIN_FRAME_BYTES:
        return f"frames of {request.max_frame_bytes} bytes are too small; {MIN_FRAME_BYTES} is the least"
    if (request.index_from is None) == (not request.runs):
        return "it must ask either for the index or for chunks"
    if request.index_from is not None and request.index_from >= offer.index_bytes:
        return f"the index has {offer.index_bytes} bytes; {request.index_from} lies behind its end"
    last = max((run.first + run.length for run in request.runs), default=0)
    if last > len(offer.chunk_sizes):
        return f"the artifact has {len(offer.chunk_sizes)} chunks; number {last - 1} is none of them"
    return ""


def _enqueue(held: Serving, request: ChunkRequest) -> Step:
    numbers = dict.fromkeys(
        number for run in request.runs for number in range(run.first, run.first + run.length)
    )
    frame = min(request.max_frame_bytes, held.limits.max_frame_bytes)
    job = Job(request.artifact, request.epoch, frame, tuple(numbers), request.index_from)
    # A device asks again for what it takes for lost: the newer request is the one it is waiting for.
    queue = (*_without(held.queues.get(request.device, ()), job), job)
    if sum(len(each.numbers) for each in queue) > MAX_QUEUED_CHUNKS:
        return held, _refuse(
            request, Refusal.BUSY, f"more than {MAX_QUEUED_CHUNKS} chunks wait already", BUSY_MS
        )
    if request.device not in held.queues and len(held.queues) >= MAX_DEVICES:
        return held, _refuse(request, Refusal.BUSY, f"{MAX_DEVICES} devices wait already", BUSY_MS)
    return replace(held, queues={**held.queues, request.device: queue}), ()


def _without(queue: tuple[Job, ...], newer: Job) -> tuple[Job, ...]:
    """Take out of older jobs what the newer one asks for too."""
    wanted = set(newer.numbers)
    left: list[Job] = []
    for job in queue:
        if job.artifact != newer.artifact:
            left.append(job)
        elif job.index_from is None:
            numbers = tuple(number for number in job.numbers if number not in wanted)
            if numbers:
                left.append(replace(job, numbers=numbers))
        elif newer.index_from is None:
            left.append(job)
    return tuple(left)


def _refuse(
    request: ChunkRequest, refusal: Refusal, reason: str, retry_after_ms: int = 0
) -> tuple[ServeAction, ...]:
    frame = encode_refusal(
        request.artifact, request.epoch, refusal, retry_after_ms=retry_after_ms, text=reason
    )
    return Send(request.device, frame), Refused(request.device, refusal, reason)


# ---------------------------------------------------------------- frames go out
def _next(held: Serving, now: float) -> Step:
    """Give the next device its turn, or say when the first one may have it."""
    if held.loading is not None or not held.queues:
        return held, ()
    wait = held.overall.wait(now)
    if wait > 0:
        return held, (Wake(wait),)
    soonest = float("inf")
    for device, queue in held.queues.items():
        bucket = held.buckets.get(device)
        wait = bucket.wait(now) if bucket is not None else 0.0
        if wait > 0:
            soonest = min(soonest, wait)
            continue
        work, left = _take(device, queue[0], held.offers[queue[0].artifact])
        queues = {each: jobs for each, jobs in held.queues.items() if each != device}
        rest = ((left,) if left is not None else ()) + queue[1:]
        if rest:
            queues[device] = rest  # now last in line
        return replace(held, queues=queues, loading=work), (Load(work),)
    return held, (Wake(soonest),)


def _take(device: str, job: Job, offer: Offer) -> tuple[Work, Job | None]:
    """Cut a batch of a few frames off a job."""
    budget = BATCH_FRAMES * (job.max_frame_bytes - FRAME_OVERHEAD)
    if job.index_from is not None:
        length = min(budget - BATCH_FRAMES * PIECE_OVERHEAD, offer.index_bytes - job.index_from)
        work = Work(
            device, job.artifact, job.epoch, job.max_frame_bytes, index_from=job.index_from, length=length
        )
        end = job.index_from + length
        return work, replace(job, index_from=end) if end < offer.index_bytes else None
    count = 0
    for number in job.numbers:
        budget -= offer.chunk_sizes[number] + 1 + PIECE_OVERHEAD
        if budget < 0 and count:
            break
        count += 1
    work = Work(device, job.artifact, job.epoch, job.max_frame_bytes, job.numbers[:count])
    return work, replace(job, numbers=job.numbers[count:]) if count < len(job.numbers) else None


def _loaded(held: Serving, event: Loaded | Unreadable, now: float) -> Step:
    if held.loading != event.work:
        return held, ()  # forgotten meanwhile, or the driver told twice
    held = replace(held, loading=None)
    work = event.work
    actions: list[ServeAction] = [
        Send(work.device, frame) for frame in _frames(event, held.offers[work.artifact])
    ]
    sent = sum(len(action.payload) for action in actions if isinstance(action, Send))
    held = _charged(held, work.device, sent, now)
    if isinstance(event, Unreadable):
        held = replace(held, queues=_drop(held, work))
        pause = BUSY_MS if event.refusal is Refusal.BUSY else 0
        frame = encode_refusal(
            work.artifact, work.epoch, event.refusal, retry_after_ms=pause, text=event.reason
        )
        actions += [Send(work.device, frame), Refused(work.device, event.refusal, event.reason)]
    return held, tuple(actions)


def _frames(event: Loaded | Unreadable, offer: Offer) -> list[bytes]:
    work = event.work
    if work.index_from is None:
        stored = zip(work.numbers, event.data, strict=False)  # what lies behind a damaged chunk was not read
        return list(chunk_frames(work.artifact, work.epoch, stored, work.max_frame_bytes))
    frames: list[bytes] = []
    for data in event.data:
        frames += index_frames(
            work.artifact, work.epoch, data, work.index_from, offer.index_bytes, work.max_frame_bytes
        )
    return frames


def _charged(held: Serving, device: str, size: int, now: float) -> Serving:
    bucket = held.buckets.get(device) or Bucket.full(held.limits.per_device, now)
    buckets = {each: kept for each, kept in held.buckets.items() if not kept.is_full(now)}
    buckets[device] = bucket.charged(size, now)
    if buckets[device].is_full(now):
        del buckets[device]
    return replace(held, overall=held.overall.charged(size, now), buckets=buckets)


def _drop(held: Serving, work: Work) -> dict[str, tuple[Job, ...]]:
    """Forget the rest of a request whose artifact cannot be served now; the device asks again after a pause."""
    queues = dict(held.queues)
    rest = tuple(
        job for job in queues.pop(work.device, ()) if (job.artifact, job.epoch) != (work.artifact, work.epoch)
    )
    if rest:
        queues[work.device] = rest
    return queues
