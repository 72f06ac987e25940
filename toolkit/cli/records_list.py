"""`tiers records list`: of which devices there are records, and how far they are."""

from __future__ import annotations

from datetime import datetime, timezone

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.records_run import AtOption


def list_(at: AtOption, output: OutputOption = Output.TABLE, as_json: JsonOption = False) -> None:
    """Show each outbox of each device: up to which number its records are stored, by priority."""
    from toolkit.cli.sync_report import amount
    from toolkit.fleet.record_files import kept

    found = kept(at)
    rows = [
        (
            each.device,
            each.epoch,
            *each.stored,
            each.files,
            amount(each.total_bytes),
            f"{datetime.fromtimestamp(each.written_ms / 1000, timezone.utc):%Y-%m-%d %H:%M} UTC",
        )
        for each in found
    ]
    columns = ("device", "outbox", "emergency", "normal", "batch", "files", "size", "last")
    show(found, Table(columns, rows), output, as_json=as_json)
