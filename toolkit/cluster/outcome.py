"""What became of objects: the result of `apply`, `prune` and `delete`, and how a command ends by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from toolkit.cluster.refusal import FieldConflict
from toolkit.errors import PartlyAppliedError


class Outcome(str, Enum):
    """What became of one object."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PRUNED = "pruned"
    """It was ours, is not wanted any more, and is deleted."""
    DELETED = "deleted"
    """It was asked to go with all others."""
    LEFT_OVER = "left over"
    """It is ours, is not wanted any more, and stays; the message says why."""
    CONFLICT = "conflict"
    REFUSED = "refused"
    NOT_TRIED = "not tried"
    """An earlier rank was refused."""


@dataclass(frozen=True)
class AppliedObject:
    """One object and what became of it."""

    outcome: Outcome
    kind: str
    namespace: str
    name: str
    source: str
    message: str = ""
    conflicts: tuple[FieldConflict, ...] = ()
    cure: str = ""
    """What to do about a refusal, when it is known."""

    @property
    def label(self) -> str:
        """Kind, namespace and name for people."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def failed(self) -> bool:
        """Whether it is not as wanted now."""
        return self.outcome in {Outcome.CONFLICT, Outcome.REFUSED, Outcome.NOT_TRIED}

    @property
    def written(self) -> bool:
        """Whether the cluster was changed."""
        return self.outcome in {Outcome.CREATED, Outcome.CHANGED, Outcome.PRUNED, Outcome.DELETED}


Progress = Callable[[AppliedObject], None]


@dataclass(frozen=True)
class Applied:
    """What became of every object: those that are wanted in apply order, then those that are not."""

    cluster: str
    context: str
    objects: tuple[AppliedObject, ...]
    revision: int = 0
    """The revision that this became in the history; 0 when nothing new was applied."""
    note: str = ""
    """Why there is no revision though something was applied."""

    def count(self, outcome: Outcome) -> int:
        """Count the objects with an outcome."""
        return sum(1 for each in self.objects if each.outcome is outcome)

    @property
    def failed(self) -> tuple[AppliedObject, ...]:
        """The objects that are not as wanted."""
        return tuple(each for each in self.objects if each.failed)


def raise_for(applied: Sequence[Applied]) -> None:
    """End a command by what became of the objects of all its clusters.

    Raises:
        PartlyAppliedError: some objects are not as wanted; the message says which and why, the hint how to go on.
    """
    failed = [each for one in applied for each in one.failed]
    if not failed:
        return
    lines = [f"{each.label}: {each.outcome.value}: {each.message}" for each in failed]
    cures = [cure for each in failed for conflict in each.conflicts for cure in remedies(conflict)]
    cures += [each.cure for each in failed if each.cure]
    raise PartlyAppliedError(
        f"{len(failed)} objects are not as tiers.yaml says:\n  " + "\n  ".join(lines),
        hint="\n   or: ".join(dict.fromkeys(cures)) or "tiers diff",
    )


def remedies(conflict: FieldConflict) -> tuple[str, str, str]:
    """Say the three ways out of a conflict, for people."""
    return (
        f"let {conflict.owner} have {conflict.field}: leave it out of tiers.yaml",
        "take the live value over into tiers.yaml: equal values are owned by both without a conflict",
        f"take {conflict.field} from {conflict.owner}: tiers apply --force-conflicts",
    )
