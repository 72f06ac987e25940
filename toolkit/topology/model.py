"""A model and how it is served on the devices of its pools.

Stands under topology; render writes no version of it, fleet.rollout ships it.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.hardware import Precision
from toolkit.topology.names import Name, TierName, VersionedName
from toolkit.topology.noun import Noun
from toolkit.topology.rollout import Rollout
from toolkit.topology.units import Bytes, Duration, Percent


class Accuracy(Noun):
    """What a version must reach on its golden inputs before it serves."""

    metric: str
    """Name of the metric in the artifact, such as dice or accuracy."""
    at_least: Annotated[float, Field(ge=0, le=1)]
    """Lowest value that is good, from 0 to 1."""


class Cache(Noun):
    """Answers that are kept and given again for the same input."""

    key: Name = "image"
    """Kind of question: `image` is kept 7 days, `text` 1 day, a name of your own an hour. All inputs count."""
    ttl: Duration | None = None
    """How long an answer is kept, when not as long as is usual for its kind."""
    follow: bool = False
    """Keep answers that change often for a shorter time."""
    memory: Bytes = Bytes.parse("64MiB")
    """Most that answers take in memory."""
    disk: Bytes = Bytes.parse("256MiB")
    """Most that they take on the disk, where they outlive a restart; 0B keeps them in memory alone."""
    prefetch: bool = False
    """Bring what usually comes next from the disk into memory before it is asked for."""


class Shadow(Noun):
    """A new version gets what the old one answers, out of sight, and is compared before it serves."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Answered requests that it gets too."""
    time: Duration = Duration.parse("10m")
    """Longest time for that; what came till then is what is judged."""
    max_difference: Annotated[float, Field(ge=0)] | None = None
    """Largest difference of any output value that is let pass; not set means that it is only reported."""
    max_latency_ratio: Annotated[float, Field(gt=0)] | None = None
    """Its mean time over the old version's that is let pass; not set means that it is only reported."""


class Trial(Noun):
    """A new version answers only some clients for a time; the old one answers the others."""

    share: Percent
    """Share of clients, each of which stays with its version: by `ab_key` of the request, else by who asks."""
    time: Duration
    """How long; the new version is on probation meanwhile, and the old one takes over again when it fails."""


class Serving(Noun):
    """How a device serves the model."""

    max_batch: Annotated[int, Field(ge=1, le=1024)] = 1
    """Most requests that run together."""
    queue: Annotated[int, Field(ge=1)] = 100
    """Most requests that wait; more are refused with `Retry-After`."""
    delay: Duration = Duration(0)
    """How long a request may wait for others to join its batch."""
    timeout: Duration = Duration.parse("5s")
    """After this a waiting request is dropped."""
    load: Literal["eager", "lazy"] = "eager"
    """Load when the daemon starts, or when the first request comes."""
    warm_up: bool = True
    """Run each batch size once before the model counts as ready."""
    shadow: Shadow | None = None
    """Compare a new version with the old one before it serves."""
    trial: Trial | None = None
    """Let a new version answer some clients before it answers all."""
    cache: Cache | None = None
    """Keep answers; nothing means that every request runs."""


class Model(Noun):
    """A model that devices of some pools serve."""

    source: VersionedName
    """Artifact in the registry, name@version."""
    pools: tuple[Name, ...] = ()
    """Edge pools whose devices serve it; services put models on the other tiers."""
    precision: Precision = "fp16"
    """Number format it runs in."""
    accuracy: Accuracy | None = None
    """What a version must reach before it serves."""
    serving: Serving = Serving()
    """How a device serves it."""
    fallback: Name | None = None
    """Smaller model that answers when this one is overloaded or cannot be loaded."""
    offload: TierName | None = None
    """Tier whose service answers when the device cannot."""
    rollout: Rollout = Rollout()
    """How a new version reaches the devices."""

    @property
    def artifact(self) -> str:
        """Name of the artifact in the registry."""
        return self.source.partition("@")[0]

    @property
    def version(self) -> str:
        """Version of the artifact in the registry."""
        return self.source.partition("@")[2]
