"""`tiers diff`: what `tiers apply` would change in the clusters that tiers.yaml names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.broker import BrokerOption, ReadKeyringOption, open_site
from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.differences import prefixed, show_differences
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

if TYPE_CHECKING:
    from toolkit.fleet.versions import VersionDifference
    from toolkit.topology.topology import Topology


def diff(  # each parameter is an option of the command
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 8 when there are differences.")
    ] = False,
    models: Annotated[
        bool, typer.Option("--models", help="Ask the broker too: which models run in another version.")
    ] = False,
    broker: BrokerOption = "",
    keyring: ReadKeyringOption = None,
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
    versions = _versions(site.topology, broker, keyring) if models else ()
    for each in versions:
        say(str(each))
    differing = [each for cluster in found for each in cluster.differences]
    total = sum(len(cluster.objects) for cluster in found)
    say(f"{len(differing)} of {total} objects differ" + ("; next: tiers apply" if differing else ""))
    raise_for_clusters(results)
    if differing and exit_code:
        raise DifferencesError(f"{len(differing)} objects differ", hint="tiers apply")
    if versions and exit_code:
        raise DifferencesError(f"{len(versions)} models differ", hint=versions[0].command)


def _versions(topology: Topology, broker: str, keyring: Path | None) -> tuple[VersionDifference, ...]:
    from toolkit.fleet.versions import version_differences
    from toolkit.registry.keys import read_keyring

    with open_site(topology, broker, read_keyring(keyring) if keyring else None) as watch:
        return version_differences(topology, watch.retained.desired)
