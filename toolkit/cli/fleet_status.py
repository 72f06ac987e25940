"""`tiers fleet status`: what every device says of its models, and where the rollouts stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli.broker import BrokerOption, ReadKeyringOption, open_site
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from toolkit.fleet.status import DeviceRow


def status(
    keyring: ReadKeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show each device with each of its models: state, versions, progress, and why it refused."""
    from toolkit.fleet.status import fleet_status
    from toolkit.registry.keys import read_keyring
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    with open_site(topology, broker, read_keyring(keyring) if keyring else None) as watch:
        found = fleet_status(watch.retained)
    columns = ("device", "link", "model", "serves", "state", "version", "chunks", "code", "reason")
    show(found, Table(columns, [_cells(row) for row in found.devices]), output, as_json=as_json)
    for topic, why in found.ignored.items():
        say(f"ignored: {ascii(topic)[1:-1]}: {ascii(why)[1:-1]}")


def _cells(row: DeviceRow) -> tuple[object, ...]:
    link = {True: "online", False: "offline", None: "unknown"}[row.online]
    chunks = f"{row.progress:.0%}" if row.chunks_total else ""
    return (
        row.device,
        link,
        row.model,
        row.serving_version,
        row.state,
        row.version,
        chunks,
        row.code,
        row.reason,
    )
