"""`tiers rollback`: apply an older revision again; shows what it would change and asks first."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.author import author_of
from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import show_applied, show_differences
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
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Bring the clusters back to what a revision says, and delete what it does not have."""
    from toolkit.cluster.apply import apply
    from toolkit.cluster.applyset import ApplySet
    from toolkit.cluster.history import with_revision
    from toolkit.cluster.rollback import find_rollback

    rules, site = rules_of(mass=mass, force=force), load_site(files, assignments)
    name, done = site.topology.name, []
    for connection in connections(site, context, kubeconfig):
        own = ApplySet(name, site.topology.namespace(connection.cluster))
        back = find_rollback(connection, own, number, rules)
        chosen, steps = back.revision, back.found.steps
        say(f"revision {chosen.number}, {chosen.outcome}, {chosen.time} by {chosen.user} {chosen.commit}")
        show_differences(steps, on_stderr=True)
        if dry_run:
            continue
        if back.found.differences:
            confirm(f"bring the cluster {connection.cluster} back to revision {chosen.number}?", yes=yes)
        applied = apply(connection, name, back.objects, rules=rules, found=back.found)
        author = author_of(files[0], rollback_of=chosen.number)
        done.append(with_revision(connection, name, back.objects, applied, author))
    say("tiers.yaml still says otherwise: change it too, or the next tiers apply undoes this")
    show_applied(done, output, as_json=as_json)
