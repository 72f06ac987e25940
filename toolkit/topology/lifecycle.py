"""What happens to data as it ages: rules, what kinds of files there are, and how long deleted things can be taken back.

Stands under topology; `toolkit.policies` makes a Policy from it, which an agent or `tiers sync lifecycle` hands to
sync. Numbers of a tier that rules go by stand at the tier: `residency`, `latency`, `watermarks`, `copies_elsewhere`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from toolkit.errors import IntegrityError
from toolkit.sync.policies.patterns import pattern_of
from toolkit.topology.names import Name, TierName
from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes, Duration, Percent

PERIODS: Mapping[str, int] = {"hourly": 3600, "daily": 86400, "weekly": 604800}
"""Seconds between two runs of the rules."""
Kind = Literal["checkpoint", "dataset", "model", "image", "archive"]


def _check_pattern(text: str) -> str:
    """Take a pattern of paths below a storage."""
    try:
        pattern_of(text)
    except IntegrityError as exc:
        raise PydanticCustomError("E0960", "{reason}", {"reason": exc.message}) from exc
    return text


PathPattern = Annotated[str, AfterValidator(_check_pattern)]
"""`*.dcm` is about names, `studies/**` about whole paths: * and ? stay inside one part, ** goes over any number."""


class LifecycleMatch(Noun):
    """Which files a rule is about; all conditions must hold."""

    path: PathPattern | None = None
    """Pattern of the path below the storage, such as studies/**, or of the name, such as *.dcm."""
    kind: Kind | None = None
    """What kind of file it is, by where it lies and how it is called; see `kinds`."""
    larger_than: Bytes | None = None
    """Bigger than this."""
    smaller_than: Bytes | None = None
    """Smaller than this."""
    older_than: Duration | None = None
    """Not changed for this long."""
    not_read_for: Duration | None = None
    """Neither recalled, staged nor restored for this long, nor brought here; by our own records alone."""
    tags: Mapping[str, str] = {}
    """Tags that it has, from `tiers sync tag`."""


class LifecycleKeep(Noun):
    """Which of the files that match are left alone, in each folder by itself."""

    last: Annotated[int, Field(ge=1)] | None = None
    """The youngest so many."""
    best: Annotated[int, Field(ge=1)] | None = None
    """The so many with the highest metric; what has none yet is kept too."""
    metric: str | None = None
    """With `best`: name of the figure in metrics.json, such as dice."""
    every: Annotated[int, Field(ge=2)] | None = None
    """Each so-manieth, counted from the oldest."""
    of: Literal["files", "folders"] = "files"
    """What is counted: files, or folders that stay or go as a whole."""


class LifecycleRule(Noun):
    """What happens to some files. The first rule that matches decides; pin and hold count wherever they stand."""

    action: Literal["copy", "move", "demote", "recall", "expire", "pin", "hold"]
    """copy and move bring files `to` a tier; demote moves them to the next colder one, recall copies them to the next
    hotter one; expire deletes them, by way of the trash; pin and hold keep them where they are."""
    source: TierName | None = Field(default=None, alias="from")
    """Tier whose files it is about; nothing means every tier but edge."""
    target: TierName | None = Field(default=None, alias="to")
    """Tier that gets them."""
    match: LifecycleMatch = LifecycleMatch()
    """Which files; nothing means all."""
    keep: LifecycleKeep | None = None
    """Which of them are left alone."""


class Lifecycle(Noun):
    """What happens to data as it ages."""

    rules: Mapping[Name, LifecycleRule] = {}
    """Rules by name, in order: the first that matches decides."""
    kinds: Mapping[Kind, tuple[PathPattern, ...]] = {}
    """Patterns of a kind that take the place of our own."""
    trash: Duration = Duration.parse("7d")
    """How long what a rule deleted can be taken back."""
    pool: Name | None = None
    """Pool of hot, warm or cold whose machines carry the rules out; nothing means by hand: `tiers sync lifecycle`.
    Storages that are folders must be on these machines, or have a claim."""
    runs: Literal["hourly", "daily", "weekly"] = "daily"
    """How often."""
    memory: Bytes = Bytes.parse("2GiB")
    """Most memory that a run may take."""


class Watermarks(Noun):
    """When room is made in a tier's storages, and how much. Needs their `capacity`."""

    high: Percent = Percent.parse("85%")
    """Above this share of its capacity a storage lets go of what was read longest ago."""
    low: Percent = Percent.parse("70%")
    """Down to this share."""
