"""A real server on a free loopback port, in a thread of its own with its own event loop."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import uvloop
from prometheus_client import CollectorRegistry

from edge_runtime.engine.base import Engine
from edge_runtime.serving.ask import Answerer
from edge_runtime.serving.desk import Desk
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.metrics import LadderCollector, ServingCollector, page
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.repository import Repository
from edge_runtime.serving.server import OLD_TLS, Server
from toolkit.wire.device_config import ModelConfig, ServingConfig

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Serving:
    """The server under test, and the ways tests talk with it."""

    models: Sequence[ModelConfig]
    limits: Limits | None
    loop: asyncio.AbstractEventLoop
    config: ServingConfig
    repository: Callable[[ModelTable], Repository] | None = None
    elsewhere: Mapping[str, Answerer] | None = None
    thread: threading.Thread = field(init=False)
    table: ModelTable = field(init=False)
    desk: Desk = field(init=False)
    """It looks at no pressure by itself."""
    server: Server = field(init=False)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.call(self._start())

    async def _start(self) -> None:
        self.table = ModelTable(self.models, hold_seconds=600)
        registry = CollectorRegistry()
        registry.register(ServingCollector(self.table))
        self.desk = Desk(self.models, self.table, elsewhere=self.elsewhere)
        registry.register(LadderCollector(self.desk))
        self.server = Server(
            self.config,
            self.table,
            lambda: page(registry),
            desk=self.desk,
            repository=self.repository and self.repository(self.table),
            limits=self.limits,
            look_seconds=0.02,
        )
        await self.server.start()

    def call(self, coroutine: Coroutine[object, object, object], seconds: float = 60) -> object:
        """Run a coroutine on the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def swap(self, name: str, version: str, engine: Engine) -> None:
        self.call(self.table.swap(name, version, engine))

    def stop(self) -> None:
        self.call(self.server.stop(grace_seconds=5))
        self.call(self.table.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()

    @property
    def port(self) -> int:
        return self.server.port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, dict]:
        """Send one request on a connection of its own; give status, headers and the JSON of the answer."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(method, path, data, named)
            response = client.getresponse()
            text = response.read()
            return response.status, dict(response.headers), json.loads(text) if text else {}
        finally:
            client.close()

    def scrape(self) -> dict[str, float]:
        """Read /metrics: sample with labels -> value."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("GET", "/metrics")
        response = client.getresponse()
        lines = response.read().decode().splitlines()
        client.close()
        assert response.status == 200
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if not line.startswith("#")
        }


@pytest.fixture(params=list(LOOPS))
def serve(request) -> Iterator[Callable[..., Serving]]:
    """Give a function that starts a server: serve(*models, limits=…, config=…, …) -> Serving."""
    running: list[Serving] = []

    def start(
        *models: ModelConfig,
        limits: Limits | None = None,
        config: ServingConfig | None = None,
        repository: Callable[[ModelTable], Repository] | None = None,
        elsewhere: Mapping[str, Answerer] | None = None,
    ) -> Serving:
        config = config or ServingConfig(port=0)
        loop = "uvloop" if OLD_TLS and config.certificate_file else request.param
        serving = Serving(models, limits, LOOPS[loop](), config, repository, elsewhere)
        serving.start()
        running.append(serving)
        return serving

    yield start
    for serving in running:
        serving.stop()


def request_of(**inputs: np.ndarray) -> dict:
    """Write an inference request in JSON."""
    names = {"float32": "FP32", "int64": "INT64"}
    return {
        "inputs": [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": names[array.dtype.name],
                "data": array.ravel().tolist(),
            }
            for name, array in inputs.items()
        ]
    }
