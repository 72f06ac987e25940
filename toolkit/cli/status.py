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
    from toolkit.cluster.many import in_each, raise_for_clusters, values_of
    from toolkit.cluster.status import status as look

    site = load_site(files, assignments)
    ways = list(connections(site, context, kubeconfig))
    results = in_each(ways, lambda each: look(each, site.topology, site.objects))
    found = values_of(results)
    rows: list[tuple[object, ...]] = []
    for cluster in found:
        before = f"{cluster.cluster}: " if len(ways) > 1 else ""
        rows += [
            ("pool", f"{before}{each.tier}/{each.pool}", f"{each.ready}/{each.wanted}", each.silence)
            for each in cluster.pools
        ]
        rows += [
            (each.kind, f"{before}{each.name}", each.state.value, each.reason) for each in cluster.objects
        ]
    show(found, Table(("kind", "name", "state", "why"), rows), output, as_json=as_json)
    say("next: tiers diff")
    raise_for_clusters(results)
