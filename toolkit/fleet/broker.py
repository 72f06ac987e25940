"""A broker on this machine for the demo, for trying things out and for tests: Mosquitto when found, else amqtt.

Production brokers are installed and configured by `templates`; nothing here may face a network: both listen on
127.0.0.1 only and let everybody in.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from toolkit.errors import MissingExtraError, UnreachableError
from toolkit.link.buffers import BROKER_ENVIRONMENT

WARNING = "this broker is for demos and laptops only: loopback, no passwords, nothing kept on disk"

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_MORE_PORTS = 2
"""A port that was free when it was looked for may be another's when the broker wants it; then another one is tried."""
_SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where servers live that are not on the PATH of most users."""


class _EndedError(UnreachableError):
    """It has ended by itself instead of coming up."""


@dataclass
class LocalBroker:
    """A broker that runs as our child process; `stop` it, or let it end with us."""

    kind: Literal["mosquitto", "amqtt"]
    port: int
    process: subprocess.Popen[bytes]
    log_file: Path
    command: tuple[str, ...] = ()
    """How it was started, to be typed again."""

    @property
    def url(self) -> str:
        """Give the URL that clients take."""
        return f"mqtt://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the process and wait for it. Repeated calls do nothing."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find_mosquitto() -> str | None:
    """Give the path of the Mosquitto server, on the PATH or where servers live."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_SERVER_FOLDERS))


def free_port() -> int:
    """Name a TCP port on loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_broker(
    folder: Path,
    *,
    port: int = 0,
    kind: Literal["auto", "mosquitto", "amqtt"] = "auto",
    choose: Callable[[], int] = free_port,
) -> LocalBroker:
    """Start a broker on loopback and wait until it takes connections.

    Args:
        folder: where its configuration and log go; made if it is not there.
        port: 0 takes a free one.
        kind: auto takes Mosquitto when it is installed, else amqtt (MQTT 3.1.1, slower; extra `demo`).
        choose: names a port for port 0; asked again when somebody else was faster.

    Raises:
        MissingExtraError: neither is installed.
        UnreachableError: it did not come up; the message quotes its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mosquitto = find_mosquitto() if kind != "amqtt" else None
    if mosquitto is None and (kind == "mosquitto" or find_spec("amqtt") is None):
        raise MissingExtraError("a local broker without Mosquitto (apt-get install mosquitto)", extra="demo")

    def start(chosen_port: int) -> LocalBroker:
        if mosquitto is not None:
            return _start(
                "mosquitto", chosen_port, folder, _mosquitto_command(mosquitto, chosen_port, folder)
            )
        command = [sys.executable, "-m", "toolkit.fleet.amqtt_process", str(chosen_port)]
        return _start("amqtt", chosen_port, folder, command)

    if port:
        return start(port)
    for _ in range(_MORE_PORTS):
        with suppress(_EndedError):
            return start(choose())
    return start(choose())


def _mosquitto_command(mosquitto: str, port: int, folder: Path) -> list[str]:
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "log_dest stderr",
        # A window of frames for each of a few devices; QoS 0 beyond it would be dropped without a word.
        "max_queued_messages 2000",
        "max_queued_bytes 64000000",
        "set_tcp_nodelay true",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it becomes a user who may not enter the folder
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [mosquitto, "-c", str(config)]


def _start(kind: Literal["mosquitto", "amqtt"], port: int, folder: Path, command: list[str]) -> LocalBroker:
    log_file = folder / f"{kind}.log"
    if _answers(port):
        raise UnreachableError(
            f"somebody else uses 127.0.0.1:{port}", hint="take another port, or 0 for a free one"
        )
    environment = {**os.environ, **BROKER_ENVIRONMENT}
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
    broker = LocalBroker(kind, port, process, log_file, tuple(command))
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            broker.stop()
            tail = log_file.read_text(encoding="utf-8", errors="replace")[-500:]
            raise (_EndedError if ended else UnreachableError)(
                f"{kind} does not come up on 127.0.0.1:{port}: {tail}", hint=f"see {log_file}"
            )
        time.sleep(0.02)
    return broker


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
