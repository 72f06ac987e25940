"""`tiers apply`: make the clusters that tiers.yaml names equal to it; shows the differences and asks first."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.author import author_of
from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import show_applied, show_differences
from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm
from toolkit.cli.rules import (
    NO_KINDS,
    AdoptOption,
    ForceOption,
    MassDeletionOption,
    PruneKindOption,
    PruneOption,
    rules_of,
)
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def apply(  # each parameter is an option of the command
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    yes: YesOption = False,
    seconds: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="Then wait until everything runs.", min=0)
    ] = 0,
    prune: PruneOption = True,
    prune_kinds: PruneKindOption = NO_KINDS,
    mass: MassDeletionOption = False,
    adopt: AdoptOption = False,
    force: ForceOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show what differs, ask, and write it: by server-side apply, never over what somebody else owns."""
    from toolkit.cluster.apply import apply as write
    from toolkit.cluster.diff import diff
    from toolkit.cluster.history import with_revision
    from toolkit.cluster.wait import raise_for_time, wait

    rules = rules_of(prune=prune, kinds=prune_kinds, mass=mass, adopt=adopt, force=force)
    site = load_site(files, assignments)
    applied, name = [], site.topology.name
    for connection in connections(site, context, kubeconfig):
        found = diff(connection, name, site.objects, rules)
        show_differences(found.steps, on_stderr=True)
        if found.differences:
            confirm(f"apply {len(found.differences)} objects to the cluster {connection.cluster}?", yes=yes)
        done = write(connection, name, site.objects, rules=rules, found=found)
        applied.append(with_revision(connection, name, site.objects, done, author_of(files[0])))
    show_applied(applied, output, as_json=as_json)
    if seconds:
        for connection in connections(site, context, kubeconfig):
            raise_for_time(wait(connection, name, site.objects, seconds=seconds))
