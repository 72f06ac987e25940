"""`tiers plan`: what `tiers apply` would do; with -o in a file, which `tiers apply FILE` does exactly or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.author import author_of
from toolkit.cli.clusters import ContextOption, KubeconfigOption, load_site
from toolkit.cli.planning import prepare, show_plan
from toolkit.cli.present import JsonOption, Output, Table, say, show
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


def plan(  # each parameter is an option of the command
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the plan here.", show_default=False),
    ] = None,
    prune: PruneOption = True,
    prune_kinds: PruneKindOption = NO_KINDS,
    mass: MassDeletionOption = False,
    adopt: AdoptOption = False,
    force: ForceOption = False,
    output: Annotated[Output, typer.Option("--output", help="How to write the result.")] = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Compare the clusters with tiers.yaml and write down every step; nothing is changed."""
    from toolkit.cluster.many import raise_for_clusters
    from toolkit.cluster.plan_file import write_plan

    rules = rules_of(prune=prune, kinds=prune_kinds, mass=mass, adopt=adopt, force=force)
    prepared = prepare(load_site(files, assignments), context, kubeconfig, rules, author_of(files[0]))
    if as_json or output is not Output.TABLE:
        show(prepared.plan, Table((), ()), output, as_json=as_json)
        work = sum(each.work for each in prepared.plan.clusters)
    else:
        work = show_plan(prepared, on_stderr=False)
    raise_for_clusters(prepared.results)
    if out is not None:
        write_plan(prepared.plan, out)
    say(f"{work} objects would be written; next: tiers apply" + (f" {out}" if out is not None else ""))
