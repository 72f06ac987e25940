"""systemd hears that the daemon is ready, alive and ending; and nothing more when a part of it hangs."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from edge_runtime.canary import Canaries
from edge_runtime.engine.base import Array, Tensors
from edge_runtime.notify import Notifier, watchdog_seconds
from edge_runtime.serving.models import ModelTable
from tests.contracts.engine import HeldEngine
from toolkit.wire.device_config import ModelConfig


class Systemd:
    """The socket that a service manager listens on; in a thread of its own, for who tells it something waits for it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._place = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._place)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while (said := self._socket.recv(1000).decode()) != "the end":
            self._heard.put(said)

    def tell(self, message: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.sendto(message.encode(), self._place)

    def hear(self, seconds: float = 120.0) -> str:
        try:
            return self._heard.get(timeout=seconds)
        except queue.Empty:
            return ""

    def forget(self) -> None:
        """Hear no more of what was said until now."""
        self.tell("now")
        while self.hear() not in {"now", ""}:
            pass

    def close(self) -> None:
        self.tell("the end")
        self._thread.join(60)
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "file" else f"@tiers-edge-test-{os.getpid()}"
    systemd = Systemd(address)
    yield systemd
    systemd.close()


def parts(heard: list[str]) -> set[str]:
    return {line for message in heard for line in message.splitlines()}


@pytest.mark.broker
def test_a_daemon_says_ready_alive_and_stopping(device, systemd: Systemd) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "600000"}
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "run", "--config", str(device.config_file)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    heard = [systemd.hear()]
    while heard[-1] and (heard.count("WATCHDOG=1") < 3 or "READY=1" not in parts(heard)):
        heard.append(systemd.hear())
    process.terminate()
    assert process.wait(120) == 0
    while heard[-1] not in {"STOPPING=1", ""}:
        heard.append(systemd.hear())
    assert parts(heard) >= {"READY=1", "STOPPING=1", "WATCHDOG=1"}
    assert heard.count("WATCHDOG=1") >= 3


def test_ready_waits_for_what_is_loaded_and_asks_for_time_meanwhile(systemd: Systemd) -> None:
    loaded = threading.Event()

    async def run() -> None:
        notifier = Notifier(systemd.address)
        announcing = asyncio.create_task(notifier.announce(lambda call: call(), loaded.is_set))
        first = await asyncio.to_thread(systemd.hear)
        assert "EXTEND_TIMEOUT_USEC=120000000" in first
        assert "READY=1" not in first
        loaded.set()
        await announcing
        assert "READY=1" in await asyncio.to_thread(systemd.hear)

    asyncio.run(asyncio.wait_for(run(), 200))


def test_what_loads_for_too_long_gets_no_more_time(systemd: Systemd) -> None:
    async def run() -> None:
        looks = 0

        def at_rest() -> bool:
            nonlocal looks
            looks += 1
            return looks > 2

        await Notifier(systemd.address).announce(lambda call: call(), at_rest, longest_seconds=-1)

    asyncio.run(asyncio.wait_for(run(), 200))
    assert "READY=1" in systemd.hear()


def test_a_control_thread_that_hangs_is_not_reported_alive(systemd: Systemd) -> None:
    posted: list[object] = []

    async def run() -> None:
        watching = asyncio.create_task(Notifier(systemd.address, 0.03).watch(posted.append, nothing))
        await asyncio.sleep(0.2)
        watching.cancel()

    asyncio.run(run())
    assert len(posted) == 1
    assert systemd.hear(0.1) == ""


async def nothing() -> None:
    """Prove an engine alive that is not there."""


class Hanging(HeldEngine):
    """Hangs in its driver from the moment that it is told to, and says when it does."""

    def __init__(self) -> None:
        super().__init__()
        self.hang, self.hangs, self.go_on = threading.Event(), threading.Event(), threading.Event()

    def infer(self, inputs: Mapping[str, Array], out: Tensors | None = None) -> Tensors:
        if self.hang.is_set():
            self.hangs.set()
            assert self.go_on.wait(200), "nobody let it go on"
        return super().infer(inputs, out)


def test_an_engine_that_hangs_is_not_reported_alive_until_it_goes_on(systemd: Systemd) -> None:
    """The event loop and the control thread answer all the while; only the engine's thread stands still."""

    async def run() -> None:
        table, engine = ModelTable([ModelConfig(name="m")]), Hanging()
        await table.swap("m", "1", engine)
        watching = asyncio.create_task(
            Notifier(systemd.address, 0.03).watch(lambda call: call(), Canaries(table).sing)
        )
        for _ in range(3):
            assert await asyncio.to_thread(systemd.hear) == "WATCHDOG=1"
        engine.hang.set()
        assert await asyncio.to_thread(engine.hangs.wait, 120)
        await asyncio.to_thread(systemd.forget)  # the canaries before
        assert await asyncio.to_thread(systemd.hear, 0.5) == "", "systemd would kill it now"
        assert not watching.done()
        engine.hang.clear()
        engine.go_on.set()
        assert await asyncio.to_thread(systemd.hear) == "WATCHDOG=1"
        watching.cancel()
        await table.close()

    asyncio.run(asyncio.wait_for(run(), 200))


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", "", 30.0),
        ("30000000", "77", 30.0),
        ("30000000", "78", 0.0),
        ("", "77", 0.0),
        ("no", "", 0),
    ],
)
def test_a_watchdog_that_is_meant_for_another_process_is_left_alone(
    usec: str, pid: str, seconds: float
) -> None:
    assert watchdog_seconds(usec, pid, 77) == seconds


def test_without_systemd_nothing_is_said() -> None:
    asyncio.run(Notifier("").tell("READY=1"))
    asyncio.run(Notifier("", 1.0).watch(lambda call: call(), nothing))
    asyncio.run(Notifier("").announce(lambda call: call(), lambda: True))
    asyncio.run(Notifier("/nowhere/at/all").tell("READY=1"))


def test_a_systemd_that_does_not_read_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = str(tmp_path / "notify")

    async def run(full: socket.socket) -> None:
        notifier, others = Notifier(address), 0
        telling = asyncio.create_task(notifier.tell("READY=1"))
        while others < 100:  # of the loop's other work
            others += 1
            await asyncio.sleep(0)
        assert not telling.done(), "there is no room for it"
        await notifier.tell("STOPPING=1", longest_seconds=0)
        assert "systemd cannot be told STOPPING=1" in caplog.text
        heard = []
        while "READY=1" not in heard:
            heard.append((await asyncio.to_thread(full.recv, 1000)).decode())
        await telling
        assert set(heard) == {"before", "READY=1"}

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(address)
        full.settimeout(120)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, suppress(BlockingIOError):
            while True:
                others.sendto(b"before", socket.MSG_DONTWAIT, address)
        asyncio.run(asyncio.wait_for(run(full), 200))
