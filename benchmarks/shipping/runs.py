"""Starts the processes of one measurement of `ship.py`, gives them the word together, and collects what they used."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.shipping.place import MIB, peak_bytes
from benchmarks.shipping.site import Site
from toolkit.fleet.broker import find_mosquitto
from toolkit.link.buffers import BROKER_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
UNLIMITED = ("max_queued_messages 0", "max_queued_bytes 0", "max_inflight_messages 20")
"""For the peers that push: with the defaults the broker would drop what they send, and say Success."""


@dataclass
class Used:
    """What one road took; bytes a second are of the artifact, all devices together."""

    size: int
    """Bytes of the artifact times devices."""
    seconds: float
    device_cpu: float
    """Of all devices."""
    device_rss: int
    """Of the largest device."""
    growth: int
    depot_cpu: float = 0.0
    depot_rss: int = 0
    broker_cpu: float = 0.0
    broker_rss: int = 0
    received: int = 0

    @property
    def rate(self) -> float:
        """MB/s, all devices together."""
        return self.size / 1e6 / self.seconds

    @property
    def cpu_per_gb(self) -> float:
        """Processor seconds of the devices for each GB."""
        return self.device_cpu / (self.size / 1e9)


# ---------------------------------------------------------------- processes
@contextmanager
def child(*words: str, stdin: int = subprocess.PIPE, room: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a module of this benchmark."""
    command = [*(("ip", "netns", "exec", room) if room else ()), sys.executable, "-m", *words]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def line_of(process: subprocess.Popen[str]) -> str:
    """Read one line of what a process prints; it must come."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args} ended with {process.wait()}")
    return line


def go(process: subprocess.Popen[str]) -> None:
    """Give the word."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@contextmanager
def broker(
    folder: Path, *settings: str, host: str = "127.0.0.1", as_it_comes: bool = False
) -> Iterator[tuple[int, int]]:
    """Run Mosquitto with the environment that `tiers` gives it, or as it comes; give its port and its process."""
    with socket.create_server((host, 0)) as probe:
        port = int(probe.getsockname()[1])
    lines = [
        f"listener {port} {host}",
        "allow_anonymous true",
        "persistence false",
        "set_tcp_nodelay true",
    ]
    lines += [*settings, *(["user root"] if os.geteuid() == 0 else [])]
    config = folder / f"mosquitto-{port}.conf"
    config.write_text("\n".join(lines) + "\n")
    program = find_mosquitto()
    assert program, "mosquitto is missing; to bring it: apt-get install mosquitto"
    process = subprocess.Popen(
        [program, "-c", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **({} if as_it_comes else BROKER_ENVIRONMENT)},
    )
    try:
        wait_for_port(port, host)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port: int, host: str = "127.0.0.1") -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"nobody listens on port {port}")


def cpu_of(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# ---------------------------------------------------------------- roads
def ours(  # noqa: PLR0913  # what a run is made of
    site: Site,
    scratch: Path,
    client: str,
    devices: int = 1,
    *,
    durable: bool = False,
    delay: float = 0.0,
    during: Callable[[int], None] | None = None,
    room: str = "",
    host: str = "127.0.0.1",
    keep: str = "",
    as_it_comes: bool = False,
) -> Used:
    """Ship with the depot and devices of this project.

    Args:
        site: what to ship.
        scratch: where to work.
        client: of the devices, paho or awscrt.
        devices: how many.
        durable: verified and on disk; else what arrives is dropped.
        delay: seconds each way between devices and broker.
        during: called with the broker's port in a thread while bytes flow.
        room: network namespace of the devices.
        host: where they find the broker.
        keep: folder for the state of the one device; else it is thrown away.
        as_it_comes: with a Mosquitto that has nothing of ours in its environment.
    """
    plan = replace(site.plan, client=client)
    with ExitStack() as stack:
        port, broker_pid = stack.enter_context(broker(scratch, host=host, as_it_comes=as_it_comes))
        depot = stack.enter_context(
            child("benchmarks.shipping.depot", replace(plan, port=port, host=host).text())
        )
        line_of(depot)
        near = port
        if delay:
            relay = stack.enter_context(child("benchmarks.shipping.relay", str(port), str(delay)))
            near = json.loads(line_of(relay))["port"]
        states = [keep or stack.enter_context(folder_of(scratch)) if durable else "" for _ in range(devices)]
        boxes = [
            stack.enter_context(
                child(
                    "benchmarks.shipping.device",
                    replace(plan, port=near, host=host, device=f"box-{number}", state=state).text(),
                    room=room,
                )
            )
            for number, state in enumerate(states)
        ]
        return _measure(site, boxes, depot, broker_pid, during=(lambda: during(port)) if during else None)


def push(
    site: Site, scratch: Path, devices: int = 1, *, durable: bool = False, as_it_comes: bool = False
) -> Used:
    """Push at QoS 1 with paho; the arguments are those of `ours`."""
    plan = replace(site.plan, size=site.size)
    with ExitStack() as stack:
        port, broker_pid = stack.enter_context(broker(scratch, *UNLIMITED, as_it_comes=as_it_comes))
        states = [stack.enter_context(folder_of(scratch)) if durable else "" for _ in range(devices)]
        boxes = [
            stack.enter_context(
                child(
                    "benchmarks.shipping.push",
                    "subscriber",
                    replace(plan, port=port, device=f"box-{number}", state=state).text(),
                )
            )
            for number, state in enumerate(states)
        ]
        publisher = stack.enter_context(
            child("benchmarks.shipping.push", "publisher", replace(plan, port=port).text())
        )
        return _measure(site, boxes, publisher, broker_pid, tell_other=True)


def _measure(
    site: Site,
    boxes: list[subprocess.Popen[str]],
    other: subprocess.Popen[str],
    broker_pid: int,
    *,
    tell_other: bool = False,
    during: Callable[[], None] | None = None,
) -> Used:
    for process in [*boxes, *([other] if tell_other else [])]:
        line_of(process)
    before = cpu_of(other.pid), cpu_of(broker_pid)
    begun = time.perf_counter()
    for process in [*boxes, *([other] if tell_other else [])]:
        go(process)
    beside = threading.Thread(target=during) if during is not None else None
    if beside is not None:
        beside.start()
    told = [json.loads(line_of(process)) for process in boxes]
    seconds = time.perf_counter() - begun
    if beside is not None:
        beside.join()
    return Used(
        size=site.size * len(boxes),
        seconds=seconds,
        device_cpu=sum(each["cpu"] for each in told),
        device_rss=max(each["rss"] for each in told),
        growth=max(each["growth"] for each in told),
        depot_cpu=cpu_of(other.pid) - before[0],
        depot_rss=peak_bytes(other.pid),
        broker_cpu=cpu_of(broker_pid) - before[1],
        broker_rss=peak_bytes(broker_pid),
        received=sum(each.get("received", 0) for each in told),
    )


def whole(site: Site, scratch: Path) -> Used:
    """Publish the whole file as one message, as `mosquitto_pub -f` does; MQTT ends at 256 MiB less one byte."""
    file, size = scratch / "whole", min(site.size, 255 * MIB)
    with (Path(site.plan.folder) / "model").open("rb") as source, file.open("wb") as target:
        target.write(source.read(size))
    with broker(scratch, *UNLIMITED) as (port, pid):
        taker = subprocess.Popen(
            ["mosquitto_sub", "-p", str(port), "-t", "whole", "-q", "1", "-C", "1"], stdout=subprocess.DEVNULL
        )
        try:
            time.sleep(0.5)
            begun = time.perf_counter()
            subprocess.run(
                ["mosquitto_pub", "-p", str(port), "-t", "whole", "-q", "1", "-f", file], check=True
            )
            _, _, used = os.wait4(taker.pid, 0)
            taker.returncode = 0
            seconds = time.perf_counter() - begun
            return Used(
                size,
                seconds,
                used.ru_utime + used.ru_stime,
                used.ru_maxrss * 1024,
                used.ru_maxrss * 1024,
                broker_cpu=cpu_of(pid),
                broker_rss=peak_bytes(pid),
            )
        finally:
            if taker.returncode is None:
                taker.kill()
                taker.wait()
            file.unlink()


@contextmanager
def web(site: Site, scratch: Path) -> Iterator[int]:
    """Run nginx over the site's folder; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with folder_of(scratch) as folder:
        user = "user root;" if os.geteuid() == 0 else ""
        config = Path(folder, "nginx.conf")
        config.write_text(
            f"daemon off; {user} worker_processes 2; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; sendfile on; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n"
            f"fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
            f"server {{ listen 127.0.0.1:{port}; root {site.plan.folder}; }} }}\n"
        )
        process = subprocess.Popen([nginx() or "", "-e", f"{folder}/error.log", "-c", config])
        try:
            wait_for_port(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def nginx() -> str | None:
    """Give the path of nginx, which is not on the PATH of most users."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def curl(site: Site, scratch: Path, devices: int = 1, *, durable: bool = False) -> Used:
    """Fetch from nginx with curl, into nothing or into the durable sink."""
    with ExitStack() as stack:
        port = stack.enter_context(web(site, scratch))
        url = f"http://127.0.0.1:{port}/model"
        begun = time.perf_counter()
        if durable:
            state = stack.enter_context(folder_of(scratch))
            fetch = subprocess.Popen(["curl", "-s", url], stdout=subprocess.PIPE)
            assert fetch.stdout is not None
            plan = replace(site.plan, state=state)
            with child("benchmarks.shipping.sink", "stdin", plan.text(), stdin=fetch.stdout.fileno()) as sink:
                told = json.loads(line_of(sink))
            fetch.wait()
            return Used(site.size, told["seconds"], told["cpu"], told["rss"], told["growth"])
        fetches = [subprocess.Popen(["curl", "-s", "-o", "/dev/null", url]) for _ in range(devices)]
        cpu, rss = 0.0, 0
        for fetch in fetches:
            _, status, used = os.wait4(fetch.pid, 0)
            fetch.returncode = os.waitstatus_to_exitcode(status)
            cpu, rss = cpu + used.ru_utime + used.ru_stime, max(rss, used.ru_maxrss * 1024)
        assert not any(fetch.returncode for fetch in fetches)
        return Used(site.size * devices, time.perf_counter() - begun, cpu, rss, rss)


def alone(site: Site, scratch: Path) -> Used:
    """Let bytes from memory into the durable sink: what disk and hash alone allow."""
    with (
        folder_of(scratch) as state,
        child("benchmarks.shipping.sink", "alone", replace(site.plan, state=state).text()) as sink,
    ):
        line_of(sink)
        go(sink)
        told = json.loads(line_of(sink))
    return Used(site.size, told["seconds"], told["cpu"], told["rss"], told["growth"])


@contextmanager
def folder_of(scratch: Path) -> Iterator[str]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield folder
