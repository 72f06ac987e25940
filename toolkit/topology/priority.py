"""A priority class: who goes first, and whether it may end pods of others to get room.

Stands under topology; jobs and quotas name one, render makes a Kubernetes PriorityClass of it.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from toolkit.topology.noun import Noun

SERVICE_PRIORITY = "normal"
"""The priority that services get, when the site has it."""
Value = Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]
"""Kubernetes keeps what is above for its own parts."""


class Priority(Noun):
    """One priority."""

    value: Value
    """The higher number goes first."""
    preempts: bool | None = None
    """Whether its pods may end others to get room; nothing means: all may but the lowest of several, and that one too
    where there are queues, because Volcano lets nobody take back what a queue lent who may not end others."""


def _from_value(value: object) -> object:
    """Let `normal: 100000` stand for `normal: {value: 100000}`."""
    return {"value": value} if isinstance(value, int) and not isinstance(value, bool) else value


PriorityOrValue = Annotated[Priority, BeforeValidator(_from_value, json_schema_input_type=Value | Priority)]
"""A priority, or only its number."""


def preempts(priorities: Mapping[str, Priority], name: str, *, queues: bool) -> bool:
    """Tell whether pods with a priority may end pods with a lower one.

    Volcano 1.15 asks the same field of a PriorityClass in two actions (preempt.go, reclaim.go): who never preempts
    never reclaims either. So work that waits in a queue has to keep that right.

    Args:
        priorities: all of the site.
        name: one of them.
        queues: whether the site has queues.

    Raises:
        KeyError: there is no such priority.
    """
    asked = priorities[name]
    if asked.preempts is not None:
        return asked.preempts
    lowest = min(each.value for each in priorities.values())
    return queues or len(priorities) == 1 or asked.value > lowest
