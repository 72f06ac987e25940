"""`tiers schema pull`: save the kinds that clusters have beyond Kubernetes' own, for checks without a cluster."""

from __future__ import annotations

from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def pull(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Save the CRDs of each cluster in .tiers/schemas beside tiers.yaml, where tiers lint finds them; commit them."""
    from toolkit.cluster.pull import pull as save
    from toolkit.lint.schema_files import CACHE

    site = load_site(files, assignments)
    beside = files[0].parent / CACHE
    pulled = [save(each, beside / each.cluster) for each in connections(site, context, kubeconfig)]
    rows = [
        (each.cluster, each.kubernetes, len(each.kinds), len(each.written), len(each.removed), each.folder)
        for each in pulled
    ]
    columns = ("cluster", "kubernetes", "kinds", "written", "removed", "folder")
    show(pulled, Table(columns, rows), output, as_json=as_json)
    say("next: tiers lint")
