"""Who is measured in `serving.py`: our daemon by each of its doors, ONNX Runtime without a server, and the peers.

Each gives samples of one case: a shape of `asking.models` and a number of clients. All are up at the same time and are
measured by turns; processor time is that of a server's whole family of processes.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.asking.bodies import DATATYPES, Body, oip, post, raw, scores_of
from benchmarks.asking.load import ROOT, Plan, Seen, load, write_requests
from benchmarks.asking.models import SHAPES, Shape, image_of
from benchmarks.asking.process import Running, cpu_seconds
from benchmarks.housing.house import House
from benchmarks.housing.waiting import wait_for
from toolkit.wire.device_config import ModelConfig, ServingConfig

RAW, OURS, UNIX, MEMORY = (
    "ONNX Runtime alone",
    "tiers-edge, HTTP",
    "tiers-edge, unix socket",
    "tiers-edge, shared memory",
)
QUEUE = 256
MAX_BATCH = {"tiny": 32, "real": 4}
"""On a processor, large batches of a model that fills the caches by itself only cost time."""


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    rate: float
    """Requests a second."""
    p50_us: float
    p99_us: float
    cpu_us: float
    """Processor time of the server a request."""


class Contestant(Protocol):
    """Somebody who is measured with one shape."""

    name: str

    def sample(self, clients: int, seconds: float) -> Sample:
        """Measure a closed loop of so many clients."""


def name_of(shape: Shape) -> str:
    """Give the name of the model with this shape on our device."""
    return shape.name.replace(", ", "-").replace(" ", "").lower()


def max_batch_of(shape: Shape) -> int:
    """Give the largest batch, the same for everybody."""
    return MAX_BATCH[shape.name.partition(",")[0]]


def open_house(folder: Path, shapes: Iterable[Shape] = tuple(SHAPES.values())) -> House:
    """Start our daemon with these shapes as models."""
    models = {name_of(shape): shape for shape in shapes}
    configs = tuple(
        ModelConfig(name=name, max_batch=max_batch_of(shape), queue=QUEUE) for name, shape in models.items()
    )
    serving = ServingConfig(unix_socket=str(folder / "serve.sock"), shared_memory=True)
    return House(folder, models, configs, serving=serving)


# ---------------------------------------------------------------- the peers
@dataclass(frozen=True)
class Peer:
    """A server of `asking.servers`."""

    name: str
    module: str
    body: Body
    own_environment: bool = True


def _base64(path: str, *, listed: bool) -> Body:
    def body(image: np.ndarray) -> bytes:
        text = base64.b64encode(image.tobytes()).decode()
        return post(
            path, json.dumps({"images": [text]} if listed else {"image": text}).encode(), "application/json"
        )

    return body


PEERS = (
    Peer("LitServe", "litserve_server", _base64("/predict", listed=False)),
    Peer("BentoML", "bentoml_server", _base64("/predict", listed=True)),
    Peer("Ray Serve", "ray_server", raw("/")),
)


def peers_python() -> Path | None:
    """Find the peers' environment; None when nobody has brought it."""
    cache = (
        os.environ.get("TIERS_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiers"
    )
    python = Path(cache) / "peers" / "serving" / "bin" / "python"
    return python if python.exists() and (python.parents[1] / "pins").exists() else None


def command_of(module: str, python: Path | str, model: Path, shape: Shape) -> list[str]:
    """Give the command line of a server of `asking.servers`."""
    axes = ",".join(map(str, shape.input_shape))
    return [
        str(python),
        "-m",
        f"benchmarks.asking.servers.{module}",
        str(model),
        str(max_batch_of(shape)),
        shape.dtype.name,
        axes,
    ]


# ---------------------------------------------------------------- over HTTP
class Asked:
    """A server that is asked over HTTP."""

    def __init__(
        self,
        name: str,
        address: str,
        request: bytes,
        cpu: Callable[[], float],
        folder: Path,
        *,
        at_once: int = 8,
    ) -> None:
        """Wait until it answers; `cpu` gives its processor seconds, `at_once` clients warm it up."""
        self.name = name
        self._address, self._cpu, self._folder = address, cpu, folder
        self._requests = write_requests(folder / f"{name}.requests", [request])
        wait_for(lambda: self._load(1, 0.05).statuses.keys() == {"200"}, f"{name} answers")
        seen = self._load(at_once, 0.3)
        self.scores = scores_of(seen.head.encode("latin-1"), seen.body.encode("latin-1"))

    def sample(self, clients: int, seconds: float) -> Sample:
        """Measure a closed loop of so many clients."""
        before = self._cpu()
        seen = self._load(clients, seconds)
        cpu, count = self._cpu() - before, len(seen.times)
        if seen.statuses != {"200": count}:
            raise SystemExit(f"{self.name} with {clients} clients: {seen.statuses}")
        return _sample(seen.times, count / seen.seconds, cpu / count)

    def _load(self, clients: int, seconds: float) -> Seen:
        return load(
            Plan(
                address=self._address,
                requests=self._requests,
                result=str(self._folder / "seen.json"),
                clients=clients,
                seconds=seconds,
            )
        )


def _sample(times: list[float], rate: float, cpu: float) -> Sample:
    """Make a sample of sorted seconds."""
    return Sample(rate, times[len(times) // 2] * 1e6, times[len(times) * 99 // 100] * 1e6, cpu * 1e6)


class Alone:
    """ONNX Runtime in a loop, in a process of its own."""

    name = RAW

    def __init__(self, model: Path, shape: Shape) -> None:
        """Start it."""
        self._batch = max_batch_of(shape)
        self._process = subprocess.Popen(
            command_of("raw", sys.executable, model, shape),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._line()

    def sample(self, clients: int, seconds: float) -> Sample:
        """One image a call, or as many as there are clients: whatever gives more images a second."""
        rows = {1, min(clients, self._batch)}
        return max((self._loop(each, seconds / len(rows)) for each in rows), key=lambda sample: sample.rate)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _loop(self, rows: int, seconds: float) -> Sample:
        assert self._process.stdin is not None
        before = cpu_seconds(self._process.pid)
        self._process.stdin.write(f"[{rows}, {seconds}]\n")
        self._process.stdin.flush()
        times = json.loads(self._line())
        cpu, count = cpu_seconds(self._process.pid) - before, len(times) * rows
        return _sample(times, count / sum(times), cpu / count)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


# ---------------------------------------------------------------- all of them
def contestants(house: House, shape: Shape, folder: Path, ending: ExitStack) -> list[Contestant]:
    """Start everybody with this shape; `ending` ends what was started."""
    model, image = house.folder / "models" / f"{name_of(shape)}-1.onnx", image_of(shape)
    name, daemon = name_of(shape), house.daemon

    def cpu() -> float:
        return cpu_seconds(daemon.process.pid)

    address, request = f"127.0.0.1:{daemon.port}", oip(name)(image)
    alone = Alone(model, shape)
    ending.callback(alone.stop)
    ours = [
        Asked(OURS, address, request, cpu, folder),
        Asked(UNIX, str(house.folder / "serve.sock"), request, cpu, folder),
    ]
    if (region := _share(daemon.port, name, image, ending)) is not None:
        ours.append(Asked(MEMORY, address, region, cpu, folder))
    python = peers_python()
    for peer in PEERS if python else ():
        assert python is not None
        running = ending.enter_context(
            Running(command_of(peer.module, python, model, shape), log=folder / f"{peer.module}.log")
        )
        ours.append(Asked(peer.name, running.address, peer.body(image), running.cpu_seconds, folder))
    for each in ours:
        if not np.allclose(each.scores, ours[0].scores, atol=1e-3):
            raise SystemExit(
                f"{each.name} does not agree with {ours[0].name}: {each.scores} {ours[0].scores}"
            )
    return [alone, *ours]


def _share(port: int, model: str, image: np.ndarray, ending: ExitStack) -> bytes | None:
    """Put the image where our server reads it, and give a request that says so; None when the server does not."""
    memory = SharedMemory(create=True, size=image.nbytes)
    ending.callback(memory.unlink)
    ending.callback(memory.close)
    assert memory.buf is not None
    memory.buf[: image.nbytes] = image.tobytes()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    document = {"key": f"/{memory.name}", "offset": 0, "byte_size": image.nbytes}
    region = f"bench-{model}"
    connection.request("POST", f"/v2/systemsharedmemory/region/{region}/register", json.dumps(document))
    if connection.getresponse().status != 200:
        return None
    tensor = {
        "name": "image",
        "shape": image.shape,
        "datatype": DATATYPES[image.dtype],
        "parameters": {"shared_memory_region": region, "shared_memory_byte_size": image.nbytes},
    }
    body = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return post(f"/v2/models/{model}/infer", body)
