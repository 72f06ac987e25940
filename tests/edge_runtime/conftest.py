"""What the tests of the daemon stand on: keys, artifacts made in memory, a depot that can be paused and can lie.

The depot here is the tests’ own, so that every frame can be counted, held back or damaged; the real one has its tests
in tests/toolkit/fleet and meets the daemon in tests/e2e.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from toolkit.link.link import Arrived, Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.chunk import ARTIFACT, cut, store_chunk
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, ModelConfig, ServingConfig
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.frame import FrameKind, Piece, Refusal, encode_pieces, encode_refusal
from toolkit.wire.index import ChunkRef, Entry, Index, distinct_chunks, encode_index, file_entry
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.manifest import Golden, Manifest, encode_manifest
from toolkit.wire.report import ModelReport, Report, decode_report
from toolkit.wire.request import decode_request
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

SITE, DEVICE, MODEL = "north", "us-001", "linear"
TOPICS = Topics(SITE)
WAIT_SECONDS = 120.0


# ---------------------------------------------------------------- artifacts
def linear_model(weight: float, *, ballast: bytes = b"", ir: int = 8, fragile: bool = False) -> bytes:
    """ONNX: scores = image @ W, W = weight × a fixed matrix. `ballast` makes the file larger, as weights would.

    A fragile one also takes row number max(image) of W, and there are four.
    """
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3) * np.float32(weight)
    constants = [numpy_helper.from_array(matrix, "W")]
    nodes = [helper.make_node("MatMul", ["image", "W"], ["scores"])]
    if ballast:
        constants.append(numpy_helper.from_array(np.frombuffer(ballast, np.uint8), "ballast"))
        nodes.append(helper.make_node("Shape", ["ballast"], ["ballast_shape"]))
    if fragile:
        nodes.append(helper.make_node("ReduceMax", ["image"], ["largest"], keepdims=0))
        nodes.append(helper.make_node("Cast", ["largest"], ["row"], to=TensorProto.INT64))
        nodes.append(helper.make_node("Gather", ["W", "row"], ["unused"]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3]),
            *([helper.make_tensor_value_info("unused", TensorProto.FLOAT, [3])] if fragile else []),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def golden_file(weight: float, count: int = 8) -> bytes:
    images = np.random.default_rng(7).random((count, 4), np.float32)
    scores = images @ (np.arange(12, dtype=np.float32).reshape(4, 3) * np.float32(weight))
    buffer = io.BytesIO()
    np.savez(buffer, **{"input.image": images, "output.scores": scores, "labels": scores.argmax(axis=1)})
    return buffer.getvalue()


@dataclass(frozen=True)
class Made:
    """An artifact as a registry holds it."""

    artifact: Digest
    manifest: Manifest
    sealed: bytes
    index: bytes
    chunks: tuple[ChunkRef, ...]
    stored: dict[Digest, bytes]


@dataclass(frozen=True)
class Keys:
    """The keys of a site."""

    registry: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    operator: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def keyring(self) -> Keyring:
        return Keyring(
            keys=(
                TrustedKey(
                    public=self.registry.public_key().public_bytes_raw(), roles=("registry",), name="r"
                ),
                TrustedKey(
                    public=self.operator.public_key().public_bytes_raw(), roles=("operator",), name="o"
                ),
            )
        )

    def make(
        self,
        version: str,
        files: dict[str, bytes],
        *,
        change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        entries: tuple[Entry, ...] | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> Made:
        """Make an artifact of these files, the way a registry does."""
        stored: dict[Digest, bytes] = {}
        made: list[Entry] = []
        for path, data in sorted(files.items()):
            refs = []
            for piece in cut(data, ARTIFACT):
                refs.append(ChunkRef(digest_of(piece), len(piece)))
                stored[refs[-1].digest] = store_chunk(piece)
            made.append(file_entry(path.encode(), refs) if path.isprintable() else None)
        index = Index(entries=entries if entries is not None else tuple(made))
        digest, index_bytes = encode_index(index)
        chunks = distinct_chunks(index)
        manifest = change(
            Manifest(
                kind="model",
                name=MODEL,
                version=version,
                counter=int(version[1:]),
                index=digest,
                index_bytes=len(index_bytes),
                total_bytes=index.total_bytes,
                chunks=len(chunks),
                model_file="model.onnx",
                golden=Golden(file="golden.npz", min_accuracy=0.5) if "golden.npz" in files else None,
            )
        )
        artifact, payload = encode_manifest(manifest)
        sealed = seal(payload, "manifest", key or self.registry)
        return Made(artifact, manifest, sealed, index_bytes, chunks, stored)

    def model(
        self,
        version: str,
        *,
        ballast: bytes = b"",
        weight: float | None = None,
        golden_weight: float | None = None,
        change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    ) -> Made:
        """Make a version of the linear model; its weight is its number."""
        weight = float(version[1:]) if weight is None else weight
        golden = golden_file(weight if golden_weight is None else golden_weight)
        files = {"model.onnx": linear_model(weight, ballast=ballast), "golden.npz": golden}
        return self.make(version, files, change=change)

    def fragile(self, version: str) -> Made:
        """Make a model that is right on its golden inputs and fails on numbers above 2."""
        weight = float(version[1:])
        files = {"model.onnx": linear_model(weight, fragile=True), "golden.npz": golden_file(weight)}
        return self.make(version, files)


# ---------------------------------------------------------------- the depot
class Depot:
    """Serves artifacts over the broker and steers one device; counts every chunk that it sends."""

    def __init__(self, url: str, keys: Keys) -> None:
        self.keys = keys
        self.made: dict[Digest, Made] = {}
        self.sent: list[tuple[Digest, int]] = []
        self.seq = 0
        self.models: dict[str, DesiredModel] = {}
        self.reports: Queue[Report] = Queue()
        self.last: Report | None = None
        self.history: list[Report] = []
        self.presence = ""
        self.allowance = threading.Semaphore(0)
        self.limit: int | None = None
        """Chunks that may still be sent; None is no limit."""
        self.damage: Callable[[Digest, int, bytes], bytes] = lambda _artifact, _number, stored: stored
        self.tamper: Callable[[list[bytes]], list[bytes]] = lambda frames: frames
        """What becomes of the frames that answer one request on their way."""
        self.reached_limit = threading.Event()
        self._probed = threading.Event()
        self._link = PahoLink(settings_from_url(url, "test-depot"))
        self._link.subscribe(TOPICS.request("+"))
        self._link.subscribe(TOPICS.state(DEVICE), qos=1)
        self._link.subscribe(TOPICS.presence(DEVICE), qos=1)
        self._link.connect()
        self._ending, self._listening = threading.Event(), threading.Event()
        self._waiting: dict[tuple[Digest, int], int] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._listening.wait(WAIT_SECONDS), "else what a device asks first would be lost"

    def close(self) -> None:
        self._ending.set()
        self._thread.join(60)
        self._link.close()

    # ---- steering
    def offer(
        self,
        made: Made,
        *,
        rollout: str = "r1",
        seq: int | None = None,
        with_manifest: bool = True,
        **changes: object,
    ) -> None:
        """Put an artifact on offer and say that the device shall run it."""
        self.made[made.artifact] = made
        if with_manifest:
            self.publish(TOPICS.manifest(made.artifact), made.sealed)
        model = DesiredModel(
            model=MODEL, version=made.manifest.version, artifact=made.artifact, rollout=rollout
        )
        self.models[MODEL] = model
        self.desire(tuple(self.models.values()), seq=seq, **changes)

    def offer_as(self, name: str, made: Made) -> None:
        """Put an artifact of another model on offer beside what the device shall run."""
        self.made[made.artifact] = made
        self.publish(TOPICS.manifest(made.artifact), made.sealed)
        version = made.manifest.version
        self.models[name] = DesiredModel(model=name, version=version, artifact=made.artifact, rollout="r1")
        self.desire(tuple(self.models.values()))

    def desire(
        self,
        models: tuple[DesiredModel, ...],
        *,
        seq: int | None = None,
        key: Ed25519PrivateKey | None = None,
        device: str = DEVICE,
        fence: int = 1,
    ) -> None:
        self.seq = self.seq + 1 if seq is None else seq
        desired = Desired(device=device, seq=self.seq, fence=fence, models=models)
        sealed = seal(encode_json(desired), "desired", key or self.keys.operator)
        self._link.publish(TOPICS.desired(DEVICE), sealed, qos=1, retain=True)

    def publish(self, topic: str, payload: bytes) -> None:
        self._link.publish(topic, payload, qos=1, retain=True)

    # ---- watching
    def wait_for(self, what: Callable[[ModelReport], bool], seconds: float = WAIT_SECONDS) -> ModelReport:
        """Wait for a report of the model."""
        seen: list[str] = []
        try:
            while True:
                report = self.reports.get(timeout=seconds)
                for model in report.models:
                    seen.append(f"{model.state.value} {model.version} {model.code}")
                    if what(model):
                        return model
        except Empty:
            pytest.fail(f"the report did not come; these did: {seen}")

    def wait_for_state(self, state: str, version: str, seconds: float = WAIT_SECONDS) -> ModelReport:
        return self.wait_for(lambda model: model.state.value == state and model.version == version, seconds)

    def chunks_sent(self, made: Made) -> list[int]:
        return [number for artifact, number in self.sent if artifact == made.artifact]

    def settle(self) -> None:
        """Wait until everything that was asked for so far has been answered."""
        self._probed.clear()
        self._link.publish(TOPICS.request("probe"), b"-")
        assert self._probed.wait(WAIT_SECONDS)

    # ---- serving
    def pause_after(self, chunks: int) -> None:
        """Send so many chunks more, then wait for `resume`."""
        with self._lock:
            self.limit = chunks
            self.reached_limit.clear()

    def resume(self) -> None:
        with self._lock:
            self.limit = None
            waiting, self._waiting = self._waiting, {}
        self._publish([(artifact, epoch, number) for (artifact, number), epoch in waiting.items()])

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                event = self._link.events.get(timeout=0.05)
            except Empty:
                continue
            if isinstance(event, Connected):
                self._listening.set()
            if not isinstance(event, Arrived) or not event.payload:
                continue
            if event.topic == TOPICS.state(DEVICE):
                self.last = decode_report(event.payload, DEVICE)
                self.history.append(self.last)
                self.reports.put(self.last)
            elif event.topic == TOPICS.presence(DEVICE):
                self.presence = json.loads(event.payload)["state"]
            elif event.topic == TOPICS.request("probe"):
                self._probed.set()
            elif event.topic == TOPICS.request(DEVICE):
                self._answer(event.payload)

    def _answer(self, payload: bytes) -> None:
        request = decode_request(payload)
        made = self.made.get(request.artifact)
        if made is None:
            frame = encode_refusal(request.artifact, request.epoch, Refusal.UNKNOWN_ARTIFACT)
            self._link.publish(TOPICS.data(DEVICE), frame)
        elif request.index_from is not None:
            data = made.index[request.index_from : request.index_from + 200_000]
            pieces = [Piece(0, request.index_from, len(made.index), data)]
            frame = encode_pieces(FrameKind.INDEX, made.artifact, request.epoch, pieces)
            self._link.publish(TOPICS.data(DEVICE), frame)
        else:
            numbers = [run.first + each for run in request.runs for each in range(run.length)]
            self._publish([(made.artifact, request.epoch, number) for number in numbers])

    def _publish(self, wanted: list[tuple[Digest, int, int]]) -> None:
        frames = [self._frame(artifact, epoch, number) for artifact, epoch, number in wanted]
        for frame in self.tamper([frame for frame in frames if frame is not None]):
            self._link.publish(TOPICS.data(DEVICE), frame)

    def _frame(self, artifact: Digest, epoch: int, number: int) -> bytes | None:
        with self._lock:
            if self.limit is not None:
                if self.limit == 0:
                    # A newer request for a chunk takes the place of an older one, as in a real depot.
                    self._waiting[artifact, number] = epoch
                    self.reached_limit.set()
                    return None
                self.limit -= 1
            self._waiting.pop((artifact, number), None)
            self.sent.append((artifact, number))
        made = self.made[artifact]
        stored = self.damage(artifact, number, made.stored[made.chunks[number].digest])
        return encode_pieces(FrameKind.CHUNKS, artifact, epoch, [Piece(number, 0, len(stored), stored)])


# ---------------------------------------------------------------- the device
class Device:
    """A daemon in a process of its own."""

    def __init__(
        self, folder: Path, port: int, keys: Keys, models: tuple[ModelConfig, ...] | None = None
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "keyring.json").write_bytes(encode_json(keys.keyring))
        self.config = DeviceConfig(
            site=SITE,
            device=DEVICE,
            state="state",
            keyring_file="keyring.json",
            broker=BrokerConfig(host="127.0.0.1", port=port, tls=False),
            serving=ServingConfig(port=0),
            models=models or (ModelConfig(name=MODEL),),
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        """What its daemon finds in its environment besides ours."""
        self.write_config()

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def config_file(self) -> Path:
        return self.folder / "device.json"

    def write_config(self) -> None:
        self.config_file.write_bytes(encode_json(self.config))

    def start(self, *options: str) -> None:
        """Start the daemon; wait until it serves."""
        (self.state / "serving.json").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_runtime", "run", "--config", str(self.config_file), *options],
                bufsize=0,  # so that `held` sees all that was written
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def held(self) -> str:
        """Wait until the daemon stops at a point of `--hold`, and give the point."""
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], WAIT_SECONDS)
        assert ready, f"the daemon did not stop at any point: {self.log()}"
        line = self.process.stdout.readline()
        assert line, f"the daemon ended: {self.log()}"
        return str(json.loads(line)["holding"])

    def go_on(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """SIGTERM; give the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(timeout=WAIT_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process = None
        return code

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def port(self) -> int:
        pause, until = threading.Event(), time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            if (self.state / "serving.json").exists():
                return int(json.loads((self.state / "serving.json").read_bytes())["port"])
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            pause.wait(0.01)
        pytest.fail(f"the daemon does not serve: {self.log()}")

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=WAIT_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def infer(self, row: list[float]) -> tuple[str, list[float]]:
        """Ask the model; give the version that answered and its scores."""
        status, answer = self._infer(row)
        assert status == 200, answer
        return answer["model_version"], answer["outputs"][0]["data"]

    def infer_badly(self) -> None:
        """Ask a fragile model what it fails at."""
        status, answer = self._infer([9, 9, 9, 9])
        assert status == 500, answer

    def _infer(self, row: list[float]) -> tuple[int, dict[str, object]]:
        body = {"inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": row}]}
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=WAIT_SECONDS)
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


# ---------------------------------------------------------------- a GPU that is not there
FAKES = Path(__file__).resolve().parent / "engine" / "fakes"


@pytest.fixture(scope="session")
def driver(require, tmp_path_factory) -> Path:
    """Give the folder of a fake libcuda.so.1."""
    require("cc")
    folder = tmp_path_factory.mktemp("driver")
    library = str(folder / "libcuda.so.1")
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libcuda.so.1", "-o", library]
    subprocess.run([*command, str(FAKES / "libcuda.c"), "-ldl"], check=True, timeout=60)
    return folder


@pytest.fixture(scope="session")
def fake_gpu(driver: Path) -> dict[str, str]:
    """Give the environment of a process that finds a GPU and TensorRT, both fakes."""
    path = os.pathsep.join([str(FAKES), str(FAKES.parents[3])])
    return {"LD_LIBRARY_PATH": str(driver), "PYTHONPATH": path}


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def depot(mosquitto, keys: Keys) -> Iterator[Depot]:
    depot = Depot(f"mqtt://127.0.0.1:{mosquitto.port}", keys)
    yield depot
    depot.close()


@pytest.fixture
def device(mosquitto, keys: Keys, tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "device", mosquitto.port, keys)
    yield device
    if device.process is not None:
        device.kill()
