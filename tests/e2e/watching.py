"""A real Prometheus, a real Alertmanager and somebody who is told, all of one test and on loopback."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.conftest import program

WaitUntil = Callable[..., None]


@dataclass
class Program:
    """A process that answers HTTP."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str, **query: str) -> Any:
        """Ask it; give what it says in JSON."""
        address = f"http://127.0.0.1:{self.port}{path}?{urlencode(query)}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return json.loads(answer.read())

    def ready(self) -> bool:
        """Tell whether it takes questions."""
        assert self.process.poll() is None, self.log.read_text()
        address = f"http://127.0.0.1:{self.port}/-/ready"
        with suppress(OSError), urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status == 200
        return False

    def query(self, expr: str) -> list[tuple[Mapping[str, str], float]]:
        """Ask Prometheus for a vector: labels and value of each series."""
        found = self.get("/api/v1/query", query=expr)["data"]["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]


@contextmanager
def prometheus(config: Path, data: Path, port: int, wait_until: WaitUntil) -> Iterator[Program]:
    """Run Prometheus on a file until the block ends."""
    options = [f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with _running("prometheus", config, data, port, options, wait_until) as running:
        yield running


@contextmanager
def alertmanager(config: Path, data: Path, port: int, wait_until: WaitUntil) -> Iterator[Program]:
    """Run Alertmanager on a file until the block ends; alone, so without a port for others of its kind."""
    name = "alertmanager" if program("alertmanager") else "prometheus-alertmanager"
    options = [
        f"--storage.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _running(name, config, data, port, options, wait_until) as running:
        yield running


@contextmanager
def _running(
    name: str, config: Path, data: Path, port: int, options: list[str], wait_until: WaitUntil
) -> Iterator[Program]:
    executable = program(name)
    assert executable is not None
    data.mkdir(parents=True)
    log = data.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [executable, f"--config.file={config}", *options], stdout=file, stderr=file, cwd=data
        )
    running = Program(process, port, log)
    try:
        wait_until(running.ready, f"{name} is ready")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=60)


@dataclass
class Webhook:
    """Somebody who is told: keeps every alert of every message."""

    port: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def alerts(self, name: str, status: str) -> list[dict[str, Any]]:
        """Give what was told of an alert: `firing` or `resolved`."""
        return [
            each for each in self.told if each["labels"]["alertname"] == name and each["status"] == status
        ]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Take messages of Alertmanager until the block ends."""
    kept = Webhook()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.tokens.append(self.headers.get("Authorization", ""))
            kept.told.extend(body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        kept.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield kept
        finally:
            server.shutdown()
