"""`tiers sync verify ROUTE | --store TIER`: read back what routes have brought; exit code 6 for damage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

_RouteArgument = Annotated[str, typer.Argument(help="Name of a route in tiers.yaml.", show_default=False)]
_StoreOption = Annotated[
    list[str] | None,
    typer.Option("--store", metavar="TIER|registry|URL", help="Read its packs whole.", show_default=False),
]
_ShareOption = Annotated[
    str, typer.Option("--share", metavar="SHARE", help="Of a store, the next so much since the last time.")
]
_ToOption = Annotated[
    Path | None,
    typer.Option("--to-dir", metavar="DIR", help="Take DIR for the target's storage, as in a trial run."),
]


def verify(
    route: _RouteArgument = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    store: _StoreOption = None,
    share: _ShareOption = "100%",
    to_dir: _ToOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend it from other copies.")] = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Read data again where it rests and name every file, pack and document that is not what was written.

    A route's files are read at its targets; with --store all packs of a tier, or a share of them.
    """
    from toolkit.cli.verify_report import mend, read_all, report_verify, summary
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    checked = read_all(topology, route, store or [], share, to_dir)
    if repair and any(each.found.damage for each in checked):
        mend(topology, checked)
        checked = read_all(topology, route, store or [], "100%", to_dir)
    show([each.found for each in checked], summary(checked), output, as_json=as_json)
    if code := report_verify(checked):
        raise typer.Exit(code)
