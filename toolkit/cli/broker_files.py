"""Write the files of a Mosquitto that runs without Kubernetes. Part of `tiers render`, for --broker-config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import Output, Table, say, show

if TYPE_CHECKING:
    from toolkit.topology.topology import Topology


def write_broker(topology: Topology, folder: Path, *, as_json: bool) -> None:
    """Write configuration and access rules, and say which certificates have to lie beside them.

    Raises:
        RenderError: the broker of tiers.yaml is no Mosquitto with encryption, or the folder cannot be written.
    """
    from toolkit.render.broker import (
        ACL_FILE,
        CONFIG_FILE,
        SERVICE_FILE,
        STANDALONE_DATA,
        standalone_configuration,
    )
    from toolkit.render.write import write_files

    there = folder.resolve()
    files = standalone_configuration(topology, there)
    written = write_files(
        files, folder, topology.name, pattern=ACL_FILE, command="tiers render --broker-config DIR"
    )
    (folder / STANDALONE_DATA).mkdir(exist_ok=True)
    changes = [("written", path) for path in written.written]
    if as_json or changes:
        show(written, Table(("", "file"), changes), Output.TABLE, as_json=as_json)
    missing = [
        name for name in ("ca.crt", "ca.crl", "broker.crt", "broker.key") if not (folder / name).exists()
    ]
    if missing:
        say(f"{folder} needs also {', '.join(missing)}: tiers device authority, tiers device enroll")
    say(f"next: mosquitto -c {there / CONFIG_FILE}")
    say(f"as a service: install -D {there / SERVICE_FILE} /etc/systemd/system/mosquitto.service.d/tiers.conf")
