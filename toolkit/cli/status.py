"""`tiers status`: which objects of tiers.yaml run in its clusters, and which machines are there."""

from __future__ import annotations

from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def status(  # each parameter is an option of the command
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Say for each object whether it runs, and for each pool how many machines are ready."""
    from toolkit.cluster.status import status as look

    site = load_site(files, assignments)
    found = [look(each, site.topology, site.objects) for each in connections(site, context, kubeconfig)]
    rows: list[tuple[object, ...]] = []
    for cluster in found:
        rows += [
            ("pool", f"{each.tier}/{each.pool}", f"{each.ready}/{each.wanted}", each.silence)
            for each in cluster.pools
        ]
        rows += [(each.kind, each.name, each.state.value, each.reason) for each in cluster.objects]
    show(found, Table(("kind", "name", "state", "why"), rows), output, as_json=as_json)
    say("next: tiers diff")
