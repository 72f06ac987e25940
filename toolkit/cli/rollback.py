"""`tiers rollback`: apply an older revision again; shows what it would change and asks first."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.author import author_of
from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import show_applied, show_differences
from toolkit.cli.locking import NO_WAIT, BreakLockOption, WaitForLockOption, claim_of
from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm, say
from toolkit.cli.rules import ForceOption, MassDeletionOption, rules_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def rollback(  # each parameter is an option of the command
    number: Annotated[
        int | None,
        typer.Argument(metavar="[REVISION]", help="Default: the last complete one before the newest."),
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would change.")] = False,
    yes: YesOption = False,
    mass: MassDeletionOption = False,
    force: ForceOption = False,
    wait_for_lock: WaitForLockOption = NO_WAIT,
    break_lock: BreakLockOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Bring the clusters back to what a revision says, and delete what it does not have."""
    from toolkit.cluster.applyset import ApplySet
    from toolkit.cluster.carry_out import carry_out
    from toolkit.cluster.history import with_revision
    from toolkit.cluster.rollback import find_rollback

    rules, site = rules_of(mass=mass, force=force), load_site(files, assignments)
    name, done, again = site.topology.name, [], "tiers rollback"
    for way in connections(site, context, kubeconfig):
        back = find_rollback(way, ApplySet(name, site.topology.namespace(way.cluster)), number, rules)
        chosen, plan = back.revision, back.planned.plan
        say(f"revision {chosen.number}, {chosen.outcome}, of {chosen.time} by {chosen.user}")
        show_differences(plan.steps, on_stderr=True)
        if dry_run:
            continue
        if plan.work:
            confirm(f"bring the cluster {way.cluster} back to revision {chosen.number}?", yes=yes)
        author = author_of(files[0], rollback_of=chosen.number)
        claim = claim_of(author.user, wait_for_lock, break_lock=break_lock, command=again)
        applied = carry_out(way, name, back.planned, claim, rules=rules)
        done.append(with_revision(way, name, plan.rendered(), applied, author))
    if not dry_run:
        say("tiers.yaml still says otherwise: change it too, or the next tiers apply undoes this")
        show_applied(done, output, as_json=as_json)
