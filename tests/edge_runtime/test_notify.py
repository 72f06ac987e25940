"""systemd hears that the daemon is ready, alive and ending; and nothing more when a part of it hangs."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.notify import Notifier


class Systemd:
    """The socket that a service manager listens on."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def hear(self, seconds: float = 30.0) -> str:
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(1000).decode()
        except TimeoutError:
            return ""

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "file" else f"@tiers-edge-test-{os.getpid()}"
    systemd = Systemd(address)
    yield systemd
    systemd.close()


@pytest.mark.broker
def test_a_daemon_says_ready_alive_and_stopping(device, systemd: Systemd) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "600000"}
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "run", "--config", str(device.config_file)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    heard = [systemd.hear() for _ in range(4)]
    process.terminate()
    assert process.wait(30) == 0
    while heard[-1] not in {"STOPPING=1", ""}:
        heard.append(systemd.hear())
    assert sorted(set(heard)) == ["READY=1", "STOPPING=1", "WATCHDOG=1"]
    assert heard.count("WATCHDOG=1") >= 3


def test_a_control_thread_that_hangs_is_not_reported_alive(systemd: Systemd) -> None:
    posted: list[object] = []

    async def run() -> None:
        watching = asyncio.create_task(Notifier(systemd.address, 0.03).watch(posted.append))
        await asyncio.sleep(0.2)
        watching.cancel()

    asyncio.run(run())
    assert len(posted) == 1
    assert systemd.hear(0.1) == ""


def test_without_systemd_nothing_is_said() -> None:
    Notifier("").tell("READY=1")
    asyncio.run(Notifier("", 1.0).watch(lambda call: call()))
    Notifier("/nowhere/at/all").tell("READY=1")
