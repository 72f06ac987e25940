"""How a new version of a model reaches the devices: a canary, then waves, with conditions to stop.

Stands under model; `fleet.intent` writes it into a rollout's document, `protocol.waves` acts on it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from toolkit.topology.names import LabelKey, LabelValue
from toolkit.topology.noun import Noun
from toolkit.topology.shares import AboveDuration, AbovePercent, AboveShare, Share
from toolkit.topology.units import Duration, Percent

Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Why a device said no, such as golden-mismatch."""
Refusal = Literal["REJECTED", "FAILED", "ROLLED_BACK"]
"""States in which a device has said no."""


class GateQuery(Noun):
    """A figure of Prometheus, and how high it may be."""

    promql: Annotated[str, Field(min_length=1, max_length=4000)]
    """Gives one figure. `$model`, `$version` and `$previous` stand for those of the rollout."""
    above: float
    """The rollout fails when the figure is above this."""


class AbortIf(Noun):
    """Conditions that stop a rollout and take it back. Figures are of the devices of the running wave."""

    error_rate: AbovePercent | None = None
    """Failed requests among all requests that the new version answered."""
    p99: AboveDuration | None = None
    """Time within which 99 of 100 requests are answered; the mean of the devices, weighted by their requests."""
    requests: Annotated[int, Field(ge=1)] = 100
    """Error rate and p99 are not judged on fewer requests."""
    refused: AboveShare = AboveShare.parse(">0")
    """Devices that refuse the version, fail with it or go back by themselves: a count of the whole rollout, or a
    percentage of those that have come to an end."""
    codes: Mapping[Code, AboveShare] = {}
    """The same for single codes, such as `golden-mismatch: ">0"`."""
    states: Mapping[Refusal, AboveShare] = {}
    """The same for REJECTED, FAILED or ROLLED_BACK alone."""
    queries: Annotated[Mapping[Code, GateQuery], Field(max_length=16)] = {}
    """Figures of a Prometheus, by names of your own; whoever steers asks (`tiers rollout run --prometheus`). No wave
    ends while one of them is not known."""
    executed: Annotated[int, Field(ge=0)] = 0
    """Percentages of devices are not judged before so many have come to an end."""
    then: Literal["take-back", "stop"] = "take-back"
    """What happens: every device gets the version before, or those that have the new one keep it."""


class WaveRule(Noun):
    """Who is in a wave."""

    labels: Mapping[LabelKey, LabelValue] = {}
    """Only devices that carry these labels; nothing means all."""
    share: Share = Share.parse("100%")
    """How many of them have the version after the wave, those of waves before included."""
    approve: bool = False
    """Whether somebody has to say `tiers rollout approve` before the wave begins."""


def _from_share(value: object) -> object:
    """Let `25%` stand for `{share: 25%}`."""
    return value if isinstance(value, Mapping | WaveRule) else {"share": value}


WaveOf = Annotated[WaveRule, BeforeValidator(_from_share, json_schema_input_type=Share | WaveRule)]
"""A wave, or only its share."""


class Pace(Noun):
    """How fast the devices of a wave are told."""

    per_minute: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Devices a minute at the beginning; nothing means all at once."""
    most: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Devices a minute at the most."""
    growth: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Factor by which the pace grows with each `each` devices that have the version."""
    each: Annotated[int, Field(ge=1)] = 10
    """See growth."""
    in_flight: Annotated[int, Field(ge=1)] | None = None
    """Devices that may be at work at once; those that are offline do not count."""


class RolloutRetry(Noun):
    """Which devices are asked once more after they said no."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 1
    """How often a device is asked, the first time included."""
    codes: tuple[Code, ...] = ()
    """Only devices that gave one of these codes, such as no-space; nothing means all."""


class Rollout(Noun):
    """Canary, waves and the time between them."""

    canary: WaveOf = WaveRule(share=Share(count=1))
    """Devices that get a new version first."""
    waves: Annotated[tuple[WaveOf, ...], Field(min_length=1)] = (WaveRule(),)
    """How much of the fleet has the version after each wave; grows, and ends with 100%."""
    soak: Duration = Duration.parse("30m")
    """How long a wave is watched before the next one starts."""
    success: Percent | None = None
    """Part of a wave that must have the version before the next one starts; nothing waits for everybody who has not
    said no."""
    offline_grace: Duration = Duration.parse("24h")
    """How long a wave waits for devices that are offline. They get what is current when they return."""
    pace: Pace | None = None
    """How fast the devices of a wave are told; nothing means all at once."""
    retry: RolloutRetry = RolloutRetry()
    """Which devices are asked once more after they said no."""
    deadline: Duration | None = None
    """After so long, pauses left out, the rollout ends as it stands."""
    abort_if: AbortIf = AbortIf()
    """Conditions that stop a rollout and take it back."""
