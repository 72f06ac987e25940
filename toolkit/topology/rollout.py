"""How a new version of a model reaches the devices: a canary, then waves, with conditions to stop.

Stands under model; fleet.rollout writes it into the desired documents, protocol.waves acts on it.
"""

from typing import Annotated

from pydantic import Field

from toolkit.topology.noun import Noun
from toolkit.topology.shares import AboveDuration, AbovePercent, Share
from toolkit.topology.units import Duration


class AbortIf(Noun):
    """Conditions that stop a rollout and take it back. Each is compared on the devices of the running wave."""

    error_rate: AbovePercent | None = None
    """Failed requests among all requests."""
    p99: AboveDuration | None = None
    """Time within which 99 of 100 requests are answered."""


class Rollout(Noun):
    """Canary, waves and the time between them."""

    canary: Share = Share(count=1)
    """Devices that get a new version first."""
    waves: Annotated[tuple[Share, ...], Field(min_length=1)] = (Share.parse("100%"),)
    """How much of the fleet has the version after each wave; grows, and ends with 100%."""
    soak: Duration = Duration.parse("30m")
    """How long a wave is watched before the next one starts."""
    abort_if: AbortIf = AbortIf()
    """Conditions that stop a rollout and take it back."""
