"""The daemon under measurement, `tiers-edge run` in a process of its own; its kills are written down."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.asking.process import rss_bytes
from benchmarks.housing.waiting import free_port, wait_for
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, ModelConfig, ServingConfig
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring

SITE, DEVICE = "bench", "box-1"


@dataclass
class Kill:
    """One SIGKILL; moments on the monotonic clock."""

    at: float
    ready: float = 0.0
    """When every model answered again."""

    @property
    def seconds(self) -> float:
        """How long the device was away."""
        return self.ready - self.at


class Daemon:
    """One device."""

    def __init__(
        self,
        folder: Path,
        broker_port: int,
        keyring: Keyring,
        models: tuple[ModelConfig, ...],
        serving: ServingConfig,
    ) -> None:
        """Write its configuration."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.kills: list[Kill] = []
        (folder / "keyring.json").write_bytes(encode_json(keyring))
        self.config = DeviceConfig(
            site=SITE,
            device=DEVICE,
            state="state",
            keyring_file="keyring.json",
            broker=BrokerConfig(host="127.0.0.1", port=broker_port, tls=False),
            serving=msgspec.structs.replace(serving, port=self.port),
            models=models,
            log="warning",
        )
        (folder / "device.json").write_bytes(encode_json(self.config))

    def start(self) -> None:
        """Start it; come back at once."""
        command = [sys.executable, "-m", "edge_runtime", "run", "--config", str(self.folder / "device.json")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    def wait_until_ready(self) -> float:
        """Wait until every model answers; give the moment."""
        wait_for(self._ready, f"the daemon is ready; its log:\n{self.log()}")
        return time.monotonic()

    def kill(self) -> Kill:
        """SIGKILL it, start it again, and wait until it is ready."""
        fault = Kill(time.monotonic())
        self.kills.append(fault)
        self.process.kill()
        self.process.wait()
        self.start()
        fault.ready = self.wait_until_ready()
        return fault

    def stop(self) -> None:
        """End it in good order."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def rss(self) -> int:
        """Bytes of memory that it has now."""
        return rss_bytes(self.process.pid)

    def log(self) -> str:
        """Give the end of its log."""
        return (self.folder / "log").read_text()[-3000:]

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
