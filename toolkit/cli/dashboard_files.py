"""Write the dashboards of Grafana to a folder. Part of `tiers render`, for --dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import Output, Table, say, show

if TYPE_CHECKING:
    from toolkit.topology.topology import Topology


def write_boards(topology: Topology, folder: Path, *, as_json: bool) -> None:
    """Write them and say what changed and where they go.

    Raises:
        RenderError: another file is in the way, or the folder cannot be written.
    """
    from toolkit.render.dashboards.files import write_dashboards

    written = write_dashboards(topology, folder)
    if as_json or written.written:
        rows = [("written", path) for path in written.written]
        show(written, Table(("", "file"), rows), Output.TABLE, as_json=as_json)
    say(
        f"{len(written.written) + len(written.unchanged)} dashboards in {folder}, {len(written.unchanged)} of them as"
        " before; next: in Grafana, Dashboards > New > Import, or provision the folder"
    )
