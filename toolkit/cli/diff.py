"""`tiers diff`: what `tiers apply` would change in the clusters that tiers.yaml names."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import show_differences
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
    from toolkit.errors import DifferencesError

    site = load_site(files, assignments)
    found = [
        compare(each, site.topology.name, site.objects) for each in connections(site, context, kubeconfig)
    ]
    differing = [each for cluster in found for each in cluster.differences]
    if as_json or output is not Output.TABLE:
        show(found, Table((), ()), output, as_json=as_json)
    else:
        show_differences(step for cluster in found for step in cluster.steps)
    total = sum(len(cluster.objects) for cluster in found)
    say(f"{len(differing)} of {total} objects differ" + ("; next: tiers apply" if differing else ""))
    if differing and exit_code:
        raise DifferencesError(f"{len(differing)} objects differ", hint="tiers apply")
