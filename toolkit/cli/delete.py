"""`tiers delete`: take a topology out of the clusters that tiers.yaml names; shows what goes and stays, and asks."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.author import author_of
from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import show_applied
from toolkit.cli.locking import NO_WAIT, BreakLockOption, WaitForLockOption, claim_of
from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm, say
from toolkit.cli.rules import NO_KINDS, PruneKindOption, rules_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def delete(  # each parameter is an option of the command
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    yes: YesOption = False,
    namespace: Annotated[
        bool, typer.Option("--namespace", help="The Namespace too, with all that anybody put into it.")
    ] = False,
    prune_kinds: PruneKindOption = NO_KINDS,
    wait_for_lock: WaitForLockOption = NO_WAIT,
    break_lock: BreakLockOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Delete everything that `tiers apply` has put into the clusters. Jobs, volume claims and CRDs stay."""
    from toolkit.cluster.delete import delete_all, find_doomed
    from toolkit.cluster.diff import Action

    rules = rules_of(kinds=[*prune_kinds, *(["Namespace"] if namespace else [])])
    site = load_site(files, assignments)
    who = author_of(files[0]).user
    claim = claim_of(who, wait_for_lock, break_lock=break_lock, command="tiers delete")
    gone = []
    for connection in connections(site, context, kubeconfig):
        found = find_doomed(connection, site.topology.name, site.objects, rules)
        doomed = found.having(Action.PRUNE)
        for each in found.objects:
            say(f"  delete {each.label}" if each in doomed else f"  {each.label} {each.message}")
        if doomed:
            confirm(f"delete {len(doomed)} objects in the cluster {connection.cluster}?", yes=yes)
        gone.append(delete_all(connection, site.topology.name, site.objects, claim, found=found))
    show_applied(gone, output, as_json=as_json)
