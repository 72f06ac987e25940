"""The options that allow `apply`, `diff` and `rollback` more than what is always safe, and the rules made from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.cluster.rules import Rules

PruneOption = Annotated[
    bool, typer.Option("--prune/--no-prune", help="Delete what is ours and not in tiers.yaml any more.")
]
PruneKindOption = Annotated[
    list[str],
    typer.Option(
        "--prune-kind",
        metavar="KIND",
        help="Delete also this guarded kind: Namespace, PersistentVolumeClaim or CustomResourceDefinition.",
        show_default=False,
    ),
]
MassDeletionOption = Annotated[
    bool, typer.Option("--allow-mass-deletion", help="Delete also more than half of the objects.")
]
AdoptOption = Annotated[
    bool, typer.Option("--adopt", help="Take over objects of the same name that nobody of ours has.")
]
ForceOption = Annotated[
    bool,
    typer.Option("--force-conflicts", help="Take over the fields of other managers that the diff names."),
]
NO_KINDS: list[str] = []
"""No guarded kind is deleted."""


def rules_of(  # one parameter for each option
    *,
    prune: bool = True,
    kinds: Sequence[str] = (),
    mass: bool = False,
    adopt: bool = False,
    force: bool = False,
) -> Rules:
    """Give what the options allow.

    Raises:
        UsageError: --prune-kind names a kind that needs no permission, or with --no-prune.
    """
    from toolkit.cluster.prune import GUARDED
    from toolkit.cluster.rules import Rules
    from toolkit.errors import UsageError

    for kind in kinds:
        if kind not in GUARDED:
            raise UsageError(
                f"--prune-kind {kind}: only {', '.join(sorted(GUARDED))} are guarded; other kinds go without it",
                hint="leave --prune-kind away",
            )
    if kinds and not prune:
        raise UsageError("--no-prune and --prune-kind contradict each other", hint="leave one of them away")
    return Rules(prune, frozenset(kinds), mass, adopt, force)


def only_the_plan(rules: Rules, *, others: bool) -> None:
    """Let nothing beside a plan say what is done.

    Args:
        rules: what the options would allow.
        others: whether tiers.yaml or its variables were named.

    Raises:
        UsageError: an option that the plan has already decided.
    """
    from toolkit.cluster.rules import SAFE
    from toolkit.errors import UsageError

    if others or rules != SAFE:
        raise UsageError(
            "a plan is complete: --file, --set and what it may prune, adopt or force were decided when it was made",
            hint="leave them away, or make another plan: tiers plan -o FILE",
        )
