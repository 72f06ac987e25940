"""The brokers for demos: both come up, on loopback only, and go with whoever started them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contracts.link import await_event
from toolkit.errors import UnreachableError
from toolkit.fleet.broker import start_broker
from toolkit.link.link import Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url

KINDS = pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])


def _listeners(port: int) -> set[str]:
    """Read the kernel's table: the addresses that somebody listens on at this port, in its hexadecimal form."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and address.endswith(f":{port:04X}"):
                found.add(address.partition(":")[0])
    return found


@KINDS
def test_it_answers_on_this_machine_only_and_ends(tmp_path: Path, require, free_port, kind: str) -> None:
    require(kind)
    broker = start_broker(tmp_path / kind, kind=kind, choose=free_port)
    try:
        link = PahoLink(replace(settings_from_url(broker.url, "x"), connect_seconds=2))
        link.connect()
        await_event(
            link, lambda event: isinstance(event, Connected)
        )  # not the first one when the machine is busy
        link.close()
        assert _listeners(broker.port) == {"0100007F"}
        assert broker.command[0]
    finally:
        broker.stop()
    broker.stop()
    assert broker.process.poll() is not None


def test_the_embedded_one_ends_with_its_parent(tmp_path: Path, require, wait_until) -> None:
    require("amqtt")
    code = (
        "from pathlib import Path; import sys\n"
        "from toolkit.fleet.broker import start_broker\n"
        f"print(start_broker(Path({str(tmp_path)!r}), kind='amqtt').port, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    port = int(parent.stdout.readline())
    assert _listeners(port)
    parent.send_signal(signal.SIGKILL)
    parent.wait(60)
    parent.stdout.close()
    parent.stdin.close()
    wait_until(lambda: not _listeners(port), "the embedded broker has ended")


@KINDS
def test_a_port_that_is_taken_is_told(tmp_path: Path, require, free_port, kind: str) -> None:
    require(kind)
    first = start_broker(tmp_path / "first", kind=kind, choose=free_port)
    try:
        with pytest.raises(UnreachableError, match=str(first.port)):
            start_broker(tmp_path / "second", kind=kind, port=first.port)
    finally:
        first.stop()


def test_a_mosquitto_keeps_the_memory_of_large_messages(tmp_path: Path, require, free_port) -> None:
    require("mosquitto")
    broker = start_broker(tmp_path, kind="mosquitto", choose=free_port)
    try:
        environment = Path(f"/proc/{broker.process.pid}/environ").read_bytes().split(b"\0")
    finally:
        broker.stop()
    assert {b"MALLOC_MMAP_THRESHOLD_=4194304", b"MALLOC_TRIM_THRESHOLD_=67108864"} <= set(environment)


@KINDS
def test_a_port_that_was_taken_meanwhile_is_not_the_last_word(
    tmp_path: Path, require, free_port, kind: str
) -> None:
    require(kind)
    with socket.socket() as taken:  # bound but deaf, as below
        taken.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], free_port()]
        broker = start_broker(tmp_path, kind=kind, choose=iter(ports).__next__)
        broker.stop()
    assert broker.port == ports[1]


@KINDS
def test_a_port_that_it_may_not_have_is_told_with_the_log(tmp_path: Path, require, kind: str) -> None:
    require(kind)
    with socket.socket() as taken:  # bound but deaf: nobody answers, and nobody else can listen
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match="does not come up") as caught:
            start_broker(tmp_path, kind=kind, port=taken.getsockname()[1])
    assert str(tmp_path) in caught.value.hint
