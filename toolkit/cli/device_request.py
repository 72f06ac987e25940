"""`tiers device request NAME`: a key and a request for a program of the cloud's side, made where it will run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Such as tiers:operator, tiers:broker or a service.")
]


def request(
    name: NameArgument,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where key and request go.")
    ] = Path(),
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Make a key, unless there is one, and a request to have it signed; a device types tiers-edge enroll."""
    from toolkit.fleet.names import known_name
    from toolkit.link.identity import request_identity
    from toolkit.topology.load import load

    known_name(load(files, variables_of(assignments)).topology, name)
    stem = folder / name.replace(":", "-")
    made = request_identity(name, Path(f"{stem}.key"), Path(f"{stem}.csr"))
    rows = [
        (str(made.key_file), "secret: stays here"),
        (str(made.request_file), f"next: tiers device enroll {made.request_file} --name {name}"),
    ]
    show(made, Table(("file", "use"), rows), output, as_json=as_json)
