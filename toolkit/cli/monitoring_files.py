"""Write the files of a Prometheus and its Alertmanager to a folder. Part of `tiers render`, for --monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import Output, Table, say, show

if TYPE_CHECKING:
    from toolkit.topology.topology import Topology


def write_monitoring(topology: Topology, folder: Path, *, as_json: bool) -> None:
    """Write them and say what changed and how they are checked.

    Raises:
        RenderError: the topology has no key `monitoring`, or the folder cannot be written.
    """
    from toolkit.render.monitoring.plain import PROMETHEUS_FILE, RULES_FILE, monitoring_files
    from toolkit.render.write import write_files

    files = monitoring_files(topology)
    written = write_files(files, folder, topology.name)
    changes = [("written", path) for path in written.written] + [
        ("removed", path) for path in written.removed
    ]
    if as_json or changes:
        show(written, Table(("", "file"), changes), Output.TABLE, as_json=as_json)
    check = (
        f"config {folder}/{PROMETHEUS_FILE}" if PROMETHEUS_FILE in files else f"rules {folder}/{RULES_FILE}"
    )
    say(
        f"{len(files)} files in {folder}, {len(written.unchanged)} of them as before; next: promtool check {check}"
    )
