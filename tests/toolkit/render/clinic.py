"""The broker of the golden case data-plane as a real Mosquitto: its rendered files, with other paths and ports."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.cluster.certificates import Authority
from tests.conftest import end_mosquitto, mosquitto_answers, program
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import TlsSettings, settings_from_url
from toolkit.render.broker import CERTIFICATE_FOLDER, CLIENTS_FOLDER, CONFIG_FOLDER, DATA_FOLDER, HEALTH_PORT
from toolkit.render.objects import render
from toolkit.topology.load import load
from toolkit.topology.topology import Topology

CLINIC = Path(__file__).parents[2] / "golden" / "data-plane" / "tiers.yaml"


def clinic() -> Topology:
    """Give the topology of the golden case."""
    return load([CLINIC]).topology


def rendered(kind: str, name: str, topology: Topology | None = None) -> dict:
    """Give the body of one rendered object."""
    bodies = (each.body for each in render(topology or clinic()) if (each.kind, each.name) == (kind, name))
    return dict(next(bodies))


@dataclass
class ClinicBroker:
    """Mosquitto with the files of the ConfigMap; only paths and ports are others."""

    folder: Path
    free_port: Callable[[], int]
    topology: Topology = field(default_factory=clinic)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port, self.health_port = self.free_port(), self.free_port()
        self.folder.mkdir(parents=True)
        self.authority = Authority(self.folder)

    def start(self) -> None:
        """Write the files and start; wait until the port answers."""
        certificate, key = self.authority.server("broker")
        places = {
            f"{CLIENTS_FOLDER}/ca.crt": str(self.authority.ca),
            f"{CERTIFICATE_FOLDER}/tls.crt": str(certificate),
            f"{CERTIFICATE_FOLDER}/tls.key": str(key),
            CONFIG_FOLDER: str(self.folder),
            DATA_FOLDER: str(self.folder),
            "listener 8883": f"listener {self.port} 127.0.0.1",
            f"listener {HEALTH_PORT} ": f"listener {self.health_port} ",
        }
        for name, rendered_text in rendered("ConfigMap", "tiers-broker", self.topology)["data"].items():
            text = rendered_text
            for there, here in places.items():
                assert name != "mosquitto.conf" or there in text, f"{there} is not in mosquitto.conf"
                text = text.replace(there, here)
            if name == "mosquitto.conf" and os.geteuid() == 0:
                text = (
                    f"user root\n{text}"  # else it becomes another user, who cannot enter the test's folder
                )
            (self.folder / name).write_text(text)
        executable = program("mosquitto")
        assert executable is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [executable, "-c", str(self.folder / "mosquitto.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers(self) -> bool:
        """Tell whether the port of everybody takes connections; fail when Mosquitto has ended."""
        return mosquitto_answers(self.process, self.folder / "mosquitto.log", ("127.0.0.1", self.port))

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            end_mosquitto(self.process)
            self.process = None

    def files_of(self, name: str) -> TlsSettings:
        """Give the files of somebody with a certificate in this name."""
        certificate, key = self.authority.server(name)
        return TlsSettings(str(self.authority.ca), str(certificate), str(key))

    def link(self, name: str, tls: TlsSettings | None = None, *, scheme: str = "mqtts") -> PahoLink:
        """Give a link of somebody, not connected yet."""
        client = f"client-{name.replace(':', '-')}"
        settings = settings_from_url(
            f"{scheme}://127.0.0.1:{self.port}", client, tls=tls or self.files_of(name)
        )
        return PahoLink(replace(settings, retry_first_seconds=0.05))
