"""`tiers inbox list`: what the devices have sent."""

from __future__ import annotations

from datetime import datetime, timezone

from toolkit.cli.inbox_run import ToArgument
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show


def list_(at: ToArgument, output: OutputOption = Output.TABLE, as_json: JsonOption = False) -> None:
    """Show each device with each route under which it has sent something."""
    from toolkit.cli.sync_report import amount
    from toolkit.fleet.inbox_store import sent

    found = sent(at)
    rows = [
        (
            each.device,
            each.route,
            each.files,
            amount(each.total_bytes),
            each.states,
            f"{datetime.fromtimestamp(each.written_ms / 1000, timezone.utc):%Y-%m-%d %H:%M} UTC",
        )
        for each in found
    ]
    columns = ("device", "route", "files", "size", "states", "last")
    show(found, Table(columns, rows), output, as_json=as_json)
