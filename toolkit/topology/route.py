"""A route: data that goes from one tier to another, or to copies in the same tier.

Stands under topology; `routes` makes SyncTasks of it for the daemon, the agent and `tiers sync run`.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.clock import Days, TimeOfDay
from toolkit.topology.names import RelativePath, TierName
from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes, Duration, Rate


class When(Noun):
    """Which files a route takes; all conditions must hold."""

    older_than: Duration | None = None
    """Not changed for this long."""
    larger_than: Bytes | None = None
    """Bigger than this."""
    matching: str | None = None
    """Name pattern below the path, such as *.dcm."""


class Hours(Noun):
    """Hours in which a route has a limit of its own."""

    days: Days
    """Days of the week on which they begin."""
    opens: TimeOfDay = Field(alias="from")
    """Start."""
    closes: TimeOfDay = Field(alias="to")
    """End; one before `from` is on the next day."""
    limit: Rate
    """Most that the route may move then; of several that hold at once the lowest counts."""


class Route(Noun):
    """Data that goes from one tier to another."""

    source: TierName = Field(alias="from")
    """Tier that has the data."""
    target: TierName = Field(alias="to")
    """Tier that gets it; the same tier means copies between its storages."""
    path: RelativePath
    """Path below both storages."""
    every: Duration | None = None
    """Time between two runs; default: 1h, and none with `trigger: demand`."""
    trigger: Literal["schedule", "demand"] = "schedule"
    """Run by the clock, or only when somebody asks for the data."""
    limit: Rate | None = None
    """Most that it may move; nothing means no limit."""
    hours: tuple[Hours, ...] = ()
    """Hours with another limit, such as a lower one while patients are examined."""
    timezone: str = "UTC"
    """Time zone of the hours, such as Europe/Berlin."""
    content: Literal["files", "weights"] = "files"
    """What the files are; weights: large files whose numbers all move a little each time, such as the checkpoints of a
    training. Of these packs take how far they moved, and read for it what they had."""
    when: When = When()
    """Which files it takes; nothing means all."""
    then: Literal["keep_source", "remove_source"] = "keep_source"
    """What happens to the source when the target is verified."""
    copies: Annotated[int, Field(ge=2, le=16)] | None = None
    """How many storages of one tier hold the data; only from a tier to itself."""

    @property
    def cadence(self) -> Duration | None:
        """Time between two runs; None when it runs only on demand."""
        if self.trigger == "demand":
            return None
        return self.every or Duration.parse("1h")
