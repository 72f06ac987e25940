"""What the depot's side of a transfer is told, what it wants done, and what it remembers. `serve.step` works on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.protocol.buckets import Bucket, Rate
from toolkit.wire.digest import Digest
from toolkit.wire.frame import Refusal
from toolkit.wire.request import ChunkRequest

BATCH_FRAMES = 4
"""Full frames that one device gets before the next one's turn."""
MAX_QUEUED_CHUNKS = 8192
"""Chunks that wait for one device; more are refused as busy."""
MAX_DEVICES = 10_000
MAX_PARKED = 256
"""Requests that wait for an artifact to be looked up."""
DUPLICATE_SECONDS = 1.0
"""A byte-equal request of a device within this time is a duplicate of the network's, not a wish of the device."""
UNKNOWN_SECONDS = 2.0
"""How long "there is no such artifact" holds before the registry is asked again."""
BUSY_MS = 1000


@dataclass(frozen=True)
class Offer:
    """What the depot knows of an artifact: sizes only; the bytes stay in the store."""

    artifact: Digest
    index_bytes: int
    chunk_sizes: tuple[int, ...]
    """Size of each distinct chunk when open; its stored form has at most one byte more."""


@dataclass(frozen=True)
class Work:
    """To read for one device: either the index from `index_from` for `length` bytes, or these chunks."""

    device: str
    artifact: Digest
    epoch: int
    max_frame_bytes: int
    numbers: tuple[int, ...] = ()
    index_from: int | None = None
    length: int = 0


# ---------------------------------------------------------------- what it is told
@dataclass(frozen=True)
class Asked:
    """A payload came on the request topic of `device`."""

    device: str
    payload: bytes


@dataclass(frozen=True)
class Offered:
    """The artifact is in the registry, signed by somebody we trust."""

    offer: Offer


@dataclass(frozen=True)
class Unknown:
    """The artifact cannot be served; `reason` is for people."""

    artifact: Digest
    reason: str = ""


@dataclass(frozen=True)
class Loaded:
    """What `Load` asked for: stored chunks in the order of `work.numbers`, or one piece of the index."""

    work: Work
    data: tuple[bytes | memoryview, ...]


@dataclass(frozen=True)
class Unreadable:
    """The store's copy is damaged or gone (`reason` names pack and chunk), or the store does not answer now (BUSY)."""

    work: Work
    reason: str
    data: tuple[bytes | memoryview, ...] = ()
    """What was read before."""
    refusal: Refusal = Refusal.DAMAGED


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


ServeEvent = Asked | Offered | Unknown | Loaded | Unreadable | Tick


# ---------------------------------------------------------------- what it wants done
@dataclass(frozen=True)
class LookUp:
    """Find this artifact; `Offered` or `Unknown` follows."""

    artifact: Digest


@dataclass(frozen=True)
class Load:
    """Read this; `Loaded` or `Unreadable` follows before anything else is loaded."""

    work: Work


@dataclass(frozen=True)
class Send:
    """Publish this on the device's data topic, QoS 0."""

    device: str
    payload: bytes


@dataclass(frozen=True)
class Refused:
    """For log and metrics: a request was not served, and why."""

    device: str
    refusal: Refusal | None
    """None when the request could not even be read."""
    reason: str


@dataclass(frozen=True)
class Wake:
    """Nothing may be sent before so many seconds have passed; a `Tick` then goes on."""

    seconds: float


ServeAction = LookUp | Load | Send | Refused | Wake


# ---------------------------------------------------------------- the state
@dataclass(frozen=True)
class Job:
    """What is left of one request."""

    artifact: Digest
    epoch: int
    max_frame_bytes: int
    numbers: tuple[int, ...] = ()
    index_from: int | None = None


@dataclass(frozen=True)
class Limits:
    """What the operator allows."""

    max_frame_bytes: int = 256 * 1024
    per_device: Rate = field(default_factory=Rate)
    overall: Rate = field(default_factory=Rate)


@dataclass(frozen=True)
class Serving:
    """All that a depot remembers; forgetting it costs time, never bytes that are wrong."""

    limits: Limits
    overall: Bucket
    offers: Mapping[Digest, Offer] = field(default_factory=dict)
    queues: Mapping[str, tuple[Job, ...]] = field(default_factory=dict)
    """Jobs of each device that has any; the first device is next."""
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    seen: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(device, digest of a request) -> when it came."""
    parked: tuple[ChunkRequest, ...] = ()
    unknown: Mapping[Digest, tuple[float, str]] = field(default_factory=dict)
    """Artifact -> (until when it counts as unknown, reason)."""
    loading: Work | None = None
