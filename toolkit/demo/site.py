"""The demo's own site: a folder with keys, registry, a file that is merged over the hospital's, a broker and processes.

    FOLDER/site.yaml     broker, registry, storages, two devices and the model `digits`, over the hospital's tiers.yaml
    FOLDER/keys          made anew: registry and operator key, keyring, key of the archive
    FOLDER/devices/NAME  config.json and state of each device

Made by `run`, used by `ship`, `refuse` and `move`. With `--keep` it stays, and every command works on it by hand.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from toolkit.demo.command import TIERS, TIERS_EDGE, Commands
from toolkit.demo.material import Material
from toolkit.demo.process import Process, start, wait_for
from toolkit.fleet.broker import LocalBroker, start_broker
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, ModelConfig, ServingConfig
from toolkit.wire.document import encode_json

SITE = "medical-imaging"
MODEL = "digits"
DEVICES = ("demo-north", "demo-south")

_SITE_YAML = """\
# Merged over the hospital's tiers.yaml by `tiers demo`; every command of the demo takes both files.
registry: {registry}
broker: {{url: "mqtt://127.0.0.1:{port}"}}
hardware:
  this-computer: {{arch: amd64, gpus: 0}}
tiers:
  edge:
    storage: {{url: "{data}/edge"}}
    pools:
      demo: {{hardware: this-computer, nodes: {{names: [{devices}]}}}}
  hot: {{storage: {{url: "{data}/hot"}}}}
  warm: {{storage: [{{url: "{data}/warm"}}, {{url: "{data}/warm-copy"}}]}}
  cold: {{storage: {{url: "{data}/cold", layout: packs, encryption: {{key: {{file: {archive_key}}}}}}}}}
models:
  {model}:
    source: {model}@1
    pools: [demo]
    precision: fp32
    rollout: {{canary: 1, waves: [100%], soak: 0s, abort_if: {{error_rate: ">1%"}}}}
routes:
  demo-1: {{from: edge, to: hot, path: frames}}
  demo-2: {{from: hot, to: warm, path: frames}}
  demo-3: {{from: warm, to: cold, path: frames}}
"""


@dataclass
class Site:
    """A running site. `close` ends what it started, in reverse order."""

    folder: Path
    material: Material
    commands: Commands
    broker: LocalBroker | None = None
    depot: Process | None = None
    devices: dict[str, Process] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def files(self) -> tuple[str, ...]:
        """The options that name tiers.yaml and site.yaml."""
        return ("-f", str(self.material.topology), "-f", str(self.folder / "site.yaml"))

    @property
    def registry(self) -> Path:
        """Folder of the registry."""
        return self.folder / "registry"

    @property
    def keys(self) -> Path:
        """Folder of the keys."""
        return self.folder / "keys"

    @property
    def archive_key(self) -> Path:
        """The key with which the cold tier is encrypted."""
        return self.keys / "archive.key"

    def close(self) -> None:
        """End every process that the site started."""
        self._stack.close()

    def start_broker(self) -> str:
        """Start Mosquitto, or the embedded broker when there is none, and write site.yaml; return which it was.

        Raises:
            UnreachableError: it did not come up.
        """
        self.broker = start_broker(self.folder / "broker")
        self._stack.callback(self.broker.stop)
        text = _SITE_YAML.format(
            registry=self.registry.as_uri(),
            port=self.broker.port,
            data=(self.folder / "data").as_uri(),
            archive_key=json.dumps(str(self.archive_key)),
            devices=", ".join(DEVICES),
            model=MODEL,
        )
        (self.folder / "site.yaml").write_text(text, encoding="utf-8")
        return self.broker.kind

    def start_depot(self) -> None:
        """Start `tiers depot --steer`.

        Raises:
            TiersError: the program cannot be started.
        """
        signing = ("--key", str(self.keys / "operator.pem"), "--keyring", str(self.keys / "keyring.json"))
        self.depot = start("depot", [*TIERS, "depot", "--steer", *self.files, *signing], self.folder)
        self._stack.callback(self.depot.stop)

    def start_devices(self) -> None:
        """Start a `tiers-edge run` for each device and wait until each serves.

        Raises:
            TiersError: one of them ended or did not come up.
        """
        for name in DEVICES:
            config = self._write_device(name)
            process = start(f"device-{name}", [*TIERS_EDGE, "run", "--config", str(config)], self.folder)
            self._stack.callback(process.stop)
            self.devices[name] = process
        for name in DEVICES:
            self.port_of(name)

    def port_of(self, device: str) -> int:
        """Wait until a device serves and give its port on loopback.

        Raises:
            TiersError: it does not.
        """
        file = self.folder / "devices" / device / "state" / "serving.json"
        return wait_for(f"serving on {device}", lambda: _port(file), 120.0, needs=[self.devices[device]])

    def _write_device(self, name: str) -> Path:
        home = self.folder / "devices" / name
        home.mkdir(parents=True, exist_ok=True)
        config = DeviceConfig(
            site=SITE,
            device=name,
            state=str(home / "state"),
            keyring_file=str(self.keys / "keyring.json"),
            broker=BrokerConfig(host="127.0.0.1", port=self.broker.port if self.broker else 0, tls=False),
            serving=ServingConfig(port=0),
            models=(ModelConfig(name=MODEL),),
        )
        path = home / "config.json"
        path.write_bytes(msgspec.json.format(encode_json(config), indent=2) + b"\n")
        return path


def _port(file: Path) -> int | None:
    try:
        found = json.loads(file.read_bytes()).get("port")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, int) and found else None
