"""A model and how it is served on the devices of its pools.

Stands under topology; render writes no version of it, fleet.rollout ships it.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.hardware import Precision
from toolkit.topology.names import Name, TierName, VersionedName
from toolkit.topology.noun import Noun
from toolkit.topology.rollout import Rollout
from toolkit.topology.units import Duration


class Accuracy(Noun):
    """What a version must reach on its golden inputs before it serves."""

    metric: str
    """Name of the metric in the artifact, such as dice or accuracy."""
    at_least: Annotated[float, Field(ge=0, le=1)]
    """Lowest value that is good, from 0 to 1."""


class Cache(Noun):
    """Answers that are kept and given again for the same input."""

    key: Name = "image"
    """Input whose bytes name the answer."""
    ttl: Duration = Duration.parse("1h")
    """How long an answer is kept."""


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
