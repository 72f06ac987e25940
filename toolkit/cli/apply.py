"""`tiers apply`: make the clusters equal to tiers.yaml, or do what a plan says; shows what differs and asks first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.apply_run import Wishes, run
from toolkit.cli.author import author_of
from toolkit.cli.clusters import ContextOption, KubeconfigOption, load_site
from toolkit.cli.locking import NO_WAIT, BreakLockOption, WaitForLockOption, claim_of
from toolkit.cli.planning import open_plan, prepare
from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption
from toolkit.cli.rules import (
    NO_KINDS,
    AdoptOption,
    ForceOption,
    MassDeletionOption,
    PruneKindOption,
    PruneOption,
    only_the_plan,
    rules_of,
)
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def apply(  # each parameter is an option of the command
    plan: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLAN", help="A file of tiers plan -o; then tiers.yaml is not read.", show_default=False
        ),
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    yes: YesOption = False,
    seconds: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="Then wait until everything runs.", min=0)
    ] = 0,
    ready: Annotated[
        int,
        typer.Option(
            "--ready",
            metavar="PERCENT",
            help="So many of the devices that are on are enough.",
            min=1,
            max=100,
        ),
    ] = 95,
    wait_for_lock: WaitForLockOption = NO_WAIT,
    break_lock: BreakLockOption = False,
    prune: PruneOption = True,
    prune_kinds: PruneKindOption = NO_KINDS,
    mass: MassDeletionOption = False,
    adopt: AdoptOption = False,
    force: ForceOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show what differs, ask, and write it: by server-side apply, never over what somebody else owns."""
    rules = rules_of(prune=prune, kinds=prune_kinds, mass=mass, adopt=adopt, force=force)
    if plan is not None:
        only_the_plan(rules, others=files != DEFAULT_FILES or assignments != NOTHING_SET)
    author = author_of(plan or files[0])
    if plan is not None:
        prepared = open_plan(plan, context, kubeconfig)
    else:
        prepared = prepare(load_site(files, assignments), context, kubeconfig, rules, author)
    command, again = ("tiers apply", "") if plan is None else (f"tiers apply {plan}", f"tiers plan -o {plan}")
    claim = claim_of(author.user, wait_for_lock, break_lock=break_lock, command=command, again=again)
    run(prepared, claim, Wishes(author.user, seconds, ready, yes), output, as_json=as_json)
