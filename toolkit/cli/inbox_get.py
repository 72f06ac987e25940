"""`tiers inbox get DEVICE ROUTE --into DIR`: lay out what a device has sent as plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.inbox_run import ToArgument
from toolkit.cli.present import JsonOption, Output, show


def get(
    device: Annotated[str, typer.Argument(help="Name of the device.")],
    route: Annotated[str, typer.Argument(help="Under which it was sent.")],
    at: ToArgument,
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder for the files; it must be there.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Write what a device has sent into DIR, checked by digest. Again, and only what changed is written."""
    from toolkit.cli.sync_report import report_run, summary, watching
    from toolkit.fleet.inbox_store import fetch

    with watching(route) as listen:
        result = fetch(at, device, route, into, listen=listen)
    show(result, summary(result), Output.TABLE, as_json=as_json)
    report_run(result)
    if result.exit_code:
        raise typer.Exit(result.exit_code)
