"""`tiers diff`: what `tiers apply` would change in the clusters that tiers.yaml names."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import prefixed, show_differences
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def diff(  # each parameter is an option of the command
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 8 when there are differences.")
    ] = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Compare the clusters with tiers.yaml, field by field; nothing is changed."""
    from toolkit.cluster.diff import diff as compare
    from toolkit.cluster.many import in_each, raise_for_clusters, values_of
    from toolkit.errors import DifferencesError

    site = load_site(files, assignments)
    ways = list(connections(site, context, kubeconfig))
    results = in_each(ways, lambda each: compare(each, site.topology.name, site.objects))
    found = values_of(results)
    if as_json or output is not Output.TABLE:
        show(found, Table((), ()), output, as_json=as_json)
    for cluster in found if output is Output.TABLE and not as_json else ():
        show_differences(prefixed(cluster.steps, cluster.cluster if len(ways) > 1 else ""))
    differing = [each for cluster in found for each in cluster.differences]
    total = sum(len(cluster.objects) for cluster in found)
    say(f"{len(differing)} of {total} objects differ" + ("; next: tiers apply" if differing else ""))
    raise_for_clusters(results)
    if differing and exit_code:
        raise DifferencesError(f"{len(differing)} objects differ", hint="tiers apply")
