"""`tiers history`: what was applied to the clusters of tiers.yaml, when and by whom; or what one revision holds."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def history(  # each parameter is an option of the command
    number: Annotated[int | None, typer.Argument(metavar="[REVISION]", help="Show its objects.")] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List the revisions of each cluster, the newest last; with a number, the objects of that revision."""
    from toolkit.cluster.applyset import ApplySet
    from toolkit.cluster.history import find, revisions, stored

    site = load_site(files, assignments)
    found: dict[str, list[object]] = {}
    rows: list[tuple[object, ...]] = []
    for connection in connections(site, context, kubeconfig):
        own = ApplySet(site.topology.name, site.topology.namespace(connection.cluster))
        known = revisions(connection, own)
        if number is None:
            found[connection.cluster] = list(known)
            for each in known:
                did = f"rollback of {each.rollback_of}: " if each.rollback_of else ""
                who = (each.user, each.commit)
                rows.append(
                    (connection.cluster, each.number, each.time, each.outcome, did + each.counts, *who)
                )
        else:
            objects = stored(connection, own, find(known, number))
            found[connection.cluster] = [each.body for each in objects]
            rows += [
                (connection.cluster, each.kind, each.namespace, each.name, each.source) for each in objects
            ]
    history_columns = ("cluster", "revision", "time", "outcome", "did", "by", "commit")
    object_columns = ("cluster", "kind", "namespace", "name", "from")
    show(found, Table(history_columns if number is None else object_columns, rows), output, as_json=as_json)
    say("next: tiers rollback REVISION --dry-run")
