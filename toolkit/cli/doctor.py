"""`tiers doctor`: what is wrong with the clusters of tiers.yaml before it bites; exit code 1 when there is an error."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.clusters import ContextOption, KubeconfigOption, connections, load_site
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def doctor(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    broker: Annotated[bool, typer.Option("--broker", help="Look at the broker instead.")] = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Check versions, kinds, switches, machines, rights and clocks of the clusters; nothing is changed."""
    if broker:
        from toolkit.cli.doctor_broker import look_at_broker
        from toolkit.topology.load import load

        look_at_broker(load(files, variables_of(assignments)).topology, output, as_json=as_json)
        return
    from toolkit.cluster.doctor.examine import examine
    from toolkit.errors import ClusterError
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render

    site = load_site(files, assignments)
    objects = render(site.topology, read_lock(files[0].parent / LOCK_FILE))
    found = [examine(each, site.topology, objects) for each in connections(site, context, kubeconfig)]
    problems = [problem for each in found for problem in each.problems]
    if output is Output.TABLE and not as_json:
        print("".join(f"{describe(problem)}\n" for problem in problems), end="")
        rows = [(each.cluster, *fact) for each in found for fact in each.facts]
        show(found, Table(("cluster", "part", "version"), rows), output)
    else:
        show(found, Table((), ()), output, as_json=as_json)
    say(f"{sum(each.checks for each in found)} checks, {len(problems)} findings")
    if not all(each.healthy for each in found):
        raise typer.Exit(ClusterError.exit_code)
