"""What a device under measurement stands in: a real broker, a real depot, a receiver, the operator's word.

`device` is the daemon in it; the soak and the benchmarks of serving live here. Versions of a model differ in what they
add to their scores (`asking.models`), so an answer proves which version gave it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty

import msgspec
import numpy as np
import onnxruntime

from benchmarks.asking.models import OUTPUT, Shape, build, image_of
from benchmarks.housing.device import DEVICE, SITE, Daemon
from benchmarks.housing.waiting import free_port, wait_for
from toolkit.fleet.broker import find_mosquitto
from toolkit.fleet.depot import Depot
from toolkit.fleet.records import Receiver
from toolkit.link.link import Arrived, Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.catalogue import open_artifact
from toolkit.registry.keys import make_key, make_keyring, read_key
from toolkit.registry.push import PushRequest, PushResult, push
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.device_config import ModelConfig, ServingConfig
from toolkit.wire.document import encode_json
from toolkit.wire.report import ModelReport, decode_report
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

TOPICS = Topics(SITE)
GOLDEN_ROWS = 4


@dataclass
class Broker:
    """Mosquitto, which can be cut and comes back on its port, having forgotten everything."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence false"]
        lines += ["user root"] if os.geteuid() == 0 else []
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        program = find_mosquitto()
        if not program:
            raise SystemExit("mosquitto is missing; to bring it: apt-get install mosquitto")
        self.process = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._listens, "Mosquitto listens")

    def kill(self) -> None:
        """Cut it off in the middle of whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class Registry:
    """A registry with some versions of each model, and the keys of its people."""

    def __init__(self, folder: Path, models: Mapping[str, Shape], versions: int) -> None:
        """Make and push versions v1 up to this number."""
        pair = make_key(folder / "keys" / "site.pem")
        self.key = read_key(pair.file)
        self.keyring = make_keyring({"registry": [pair], "operator": [pair]})
        self.store = PackStore(DirectoryRemote(str(folder / "registry"), create=True))
        self.pushed: dict[tuple[str, int], PushResult] = {}
        for name, shape in models.items():
            for version in range(1, versions + 1):
                model = build(shape, folder / "models" / f"{name}-{version}.onnx", version)
                golden = model.with_suffix(".npz")
                images = np.concatenate([image_of(shape, seed) for seed in range(GOLDEN_ROWS)])
                session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
                scores = session.run([OUTPUT], {"image": images})[0]
                np.savez(golden, **{"input.image": images, f"output.{OUTPUT}": scores})
                request = PushRequest(model, golden, name, f"v{version}")
                self.pushed[name, version] = push(self.store, request, self.key)


class Operator:
    """Says what the device shall run, again whenever the broker has come back, and reads its reports."""

    def __init__(self, registry: Registry, broker: Broker, folder: Path) -> None:
        """Connect, and start the depot and the receiver of records beside it."""
        self._registry = registry
        url = f"mqtt://127.0.0.1:{broker.port}"
        self._wanted: dict[str, int] = {}
        self._seq = 0
        self._stop = threading.Event()
        self.reports: dict[str, ModelReport] = {}
        self._link = PahoLink(settings_from_url(url, "operator"))
        self._link.subscribe(TOPICS.state(DEVICE), qos=1)
        self._link.connect()
        depot = Depot(
            PahoLink(settings_from_url(url, "depot")), TOPICS, lambda: registry.store, registry.keyring
        )
        self._records = folder / "records"
        self._records.mkdir()
        receiver = Receiver(PahoLink(settings_from_url(url, "receiver")), TOPICS, self._records)
        self._threads = [
            threading.Thread(target=depot.run, args=(self._stop,), daemon=True),
            threading.Thread(target=receiver.run, args=(self._stop,), daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def want(self, **versions: int) -> None:
        """Let the device run these versions of these models from now on."""
        self._wanted.update(versions)
        self._seq += 1
        self._say()

    def serves(self, model: str, version: int) -> bool:
        """Tell whether the device has reported that this version is active and answers."""
        report = self.reports.get(model)
        said = report and (report.state.value, report.version, report.serving_version)
        return said == ("ACTIVE", f"v{version}", f"v{version}")

    def records(self) -> list[str]:
        """Give the texts of the records that the device's clients put down and that were brought in, kind `soak`."""
        lines = (line for file in self._records.glob("*/*.jsonl") for line in file.read_bytes().splitlines())
        kept = map(msgspec.json.decode, lines)
        return [line["text"] for line in kept if line["kind"] == "soak"]

    def close(self) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self._link.close()

    def _say(self) -> None:
        models = []
        for name, version in self._wanted.items():
            pushed = self._registry.pushed[name, version]
            sealed = open_artifact(self._registry.store, pushed.artifact, self._registry.keyring).sealed
            self._link.publish(TOPICS.manifest(pushed.artifact), sealed, qos=1, retain=True)
            models.append(
                DesiredModel(
                    model=name, version=pushed.version, artifact=pushed.artifact, rollout=f"r{self._seq}"
                )
            )
        desired = Desired(device=DEVICE, seq=self._seq, fence=1, models=tuple(models))
        sealed = seal(encode_json(desired), "desired", self._registry.key)
        self._link.publish(TOPICS.desired(DEVICE), sealed, qos=1, retain=True)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                event = self._link.events.get(timeout=0.1)
            except Empty:
                continue
            if isinstance(event, Connected) and self._wanted:
                self._say()
            elif isinstance(event, Arrived) and event.payload:
                report = decode_report(event.payload, DEVICE)
                self.reports.update({each.model: each for each in report.models})


class House:
    """Broker, registry, operator and device, all up, with version 1 of every model installed."""

    def __init__(
        self,
        folder: Path,
        models: Mapping[str, Shape],
        configs: tuple[ModelConfig, ...],
        *,
        versions: int = 1,
        serving: ServingConfig | None = None,
    ) -> None:
        """Start everything, and wait until all models serve."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._ending = ExitStack()
        with ExitStack() as ending:  # what is up ends when the rest does not come up
            self.broker = Broker(folder)
            ending.callback(self.broker.kill)
            self.broker.start()
            self.registry = Registry(folder, models, versions)
            self.operator = Operator(self.registry, self.broker, folder)
            ending.callback(self.operator.close)
            self.daemon = Daemon(
                folder / "device",
                self.broker.port,
                self.registry.keyring,
                configs,
                serving or ServingConfig(),
            )
            ending.callback(self.daemon.stop)
            self.daemon.start()
            self.operator.want(**dict.fromkeys(models, 1))
            for model in models:
                self._wait_for(model)
            self._ending = ending.pop_all()

    def close(self) -> None:
        """End everything."""
        self._ending.close()

    def _wait_for(self, model: str) -> None:
        def serves() -> bool:
            if self.daemon.process.poll() is not None:
                raise SystemExit(f"the daemon ended; its log:\n{self.daemon.log()}")
            return self.operator.serves(model, 1)

        try:
            wait_for(serves, f"{model} serves")
        except SystemExit as end:
            said = f"its reports: {list(self.operator.reports.values())}\nits log:\n{self.daemon.log()}"
            raise SystemExit(f"{end}\n{said}") from end
