"""What every test may ask for: a part of the machine, a free port, a broker, and to wait for something without luck.

A part that is missing makes a test skip with the command that brings it. With TIERS_REQUIRE_ALL=1 (`make test-all`,
CI) nothing may be missing: the same test fails, and any other skip fails the whole run.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster.crds import find_crds
from tests.contracts.s3_server import S3Server, gateway_program, moto_program
from tests.contracts.ssh_server import SshServer, sshd_program
from tests.ports import free_ports

if TYPE_CHECKING:
    from tests.cluster.plane import Plane

# Time says nothing on a machine that does other things as well.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What has to be green before a change lands is red because of the change, not because of a draw of that day: the same
# draws each time. `make test` draws anew each time, and says how to repeat what it found.
settings.register_profile("repeatable", settings.get_profile("untimed"), derandomize=True, database=None)
settings.load_profile("repeatable" if os.environ.get("TIERS_REQUIRE_ALL") else "untimed")

NOTHING_MAY_BE_MISSING = os.environ.get("TIERS_REQUIRE_ALL") == "1"
NEEDS_HARDWARE = "needs hardware"
"""A skip whose reason begins with these words stays a skip, also in CI: no command brings a Jetson."""

MARK_NEEDS = {"broker": "mosquitto", "torch": "torch", "index": "index", "demo": "amqtt"}
"""Marker of pyproject.toml -> the part that a test with it needs."""


# ---------------------------------------------------------------- parts
def program(name: str) -> str | None:
    """Find a program, also in the folders of servers, which are not on the PATH of most users."""
    return shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )


def _index_answers() -> bool:
    """Ask pip whether a package index is in reach, by the way pip is set up here."""
    command = [sys.executable, "-m", "pip", "index", "versions", "hatchling"]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def _control_plane_is_here() -> bool:
    """Look for the programs of a real cluster, by the rule of scripts/bring-cluster."""
    from tests.cluster.programs import all_here

    return find_crds() is not None and all_here()


def _prometheus_is_here() -> bool:
    """Look for Prometheus and Alertmanager with the tools that check their files; Debian renames one of them."""
    named = all(program(name) is not None for name in ("prometheus", "promtool", "amtool"))
    return named and (program("alertmanager") or program("prometheus-alertmanager")) is not None


def _volcanos_module_is_here() -> bool:
    """Ask for the folder of Volcano's Go module, which Go brings when it can."""
    script = Path(__file__).resolve().parents[1] / "scripts" / "lint_upstream.py"
    command = [sys.executable, str(script), "--where"]
    return subprocess.run(command, capture_output=True, check=False, timeout=300).returncode == 0


def _tensorrt_bindings_are_here() -> bool:
    """Look for the bindings of this Python where scripts/bring-tensorrt-bindings puts them, and for a compiler."""
    abi = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = Path(__file__).resolve().parents[1] / ".cache" / "tensorrt"
    brought = all((folder / f"{release}-{abi}").is_dir() for release in ("10.3", "10.13", "11.4"))
    return brought and program("cc") is not None


def _has_obstore() -> bool:
    return find_spec("obstore") is not None


PARTS: dict[str, tuple[Callable[[], bool], str]] = {
    "mosquitto": (lambda: program("mosquitto") is not None, "apt-get install mosquitto"),
    "grafana": (lambda: find_spec("grafana_foundation_sdk") is not None, "make env (needs Python 3.11)"),
    "mosquitto-clients": (lambda: program("mosquitto_sub") is not None, "apt-get install mosquitto-clients"),
    "cc": (lambda: program("cc") is not None, "apt-get install gcc"),
    "nginx": (lambda: program("nginx") is not None, "scripts/bring-nginx"),
    "sshd": (lambda: sshd_program() is not None, "scripts/bring-openssh"),
    "versitygw": (lambda: gateway_program() is not None and _has_obstore(), "scripts/bring-s3 (needs Go)"),
    "moto": (lambda: moto_program() is not None and _has_obstore(), "scripts/bring-s3"),
    "asyncssh": (lambda: find_spec("asyncssh") is not None, "make env"),
    "torch": (lambda: find_spec("torch") is not None, "make test-all"),
    "awscrt": (lambda: find_spec("awscrt") is not None, "pip install -e '.[awscrt]'"),
    "amqtt": (lambda: find_spec("amqtt") is not None, "pip install -e '.[demo]'"),
    "index": (_index_answers, "give pip a package index"),
    "prometheus": (_prometheus_is_here, "apt-get install prometheus prometheus-alertmanager"),
    "registry": (
        lambda: program("docker-registry") is not None or program("registry") is not None,
        "apt-get install docker-registry",
    ),
    "crds": (lambda: find_crds() is not None, "make crds"),
    "TensorRT's bindings": (
        _tensorrt_bindings_are_here,
        "scripts/bring-tensorrt-bindings (needs pip and cc)",
    ),
    "volcano's module": (_volcanos_module_is_here, "go -C tests/cluster mod download volcano.sh/volcano"),
    "cluster": (_control_plane_is_here, "make crds; scripts/bring-cluster (needs Go 1.26)"),
}
"""Part -> (is it here, the command that brings it)."""

_found: dict[str, bool] = {}


def _require(part: str) -> None:
    present, bring = PARTS[part]
    if part not in _found:
        _found[part] = present()
    if _found[part]:
        return
    message = f"{part} is missing; to bring it: {bring}"
    if NOTHING_MAY_BE_MISSING:
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def require() -> Callable[[str], None]:
    """Give a function that skips (or, in CI, fails) the test when a part of PARTS is not there."""
    return _require


PLANE_SECONDS = 300.0
"""What the first test of a worker that asks for the control plane may take longer: four of them start at once."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on the control plane the time that its start may take; pytest counts that to the first of them."""
    for item in items:
        if "plane" in getattr(item, "fixturenames", ()):
            mark = item.get_closest_marker("timeout")
            own = float(mark.args[0] if mark is not None else item.config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(own + PLANE_SECONDS), append=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a marker stand for the part it needs."""
    for mark in item.iter_markers():
        if mark.name in MARK_NEEDS:
            _require(MARK_NEEDS[mark.name])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Find in a test that says so what it leaves to the garbage collector, and not in whichever test comes later.

    paho leaves the sockets of failed handshakes.
    """
    if any("PytestUnraisable" in str(mark.args) for mark in item.iter_markers("filterwarnings")):
        gc.collect()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, fail a run that skipped anything but a test for hardware that is not here."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not NOTHING_MAY_BE_MISSING or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    stray = [each for each in skipped if NEEDS_HARDWARE not in str(each.longrepr)]
    for each in stray:
        reporter.write_line(f"FAILED {each.nodeid}: skipped, but TIERS_REQUIRE_ALL=1", red=True)
    if stray and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs under test also where the tests themselves were started in the background.

    A shell starts a background job with SIGINT ignored, and every child would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# ---------------------------------------------------------------- waiting and ports
def _wait_until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait for a condition; fail with `what` after the deadline (seconds)."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds} s still not: {what}")
        pause.wait(0.01)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Give `wait_until(condition, what, seconds=120)`."""
    return _wait_until


def _free_port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give a function that names a loopback TCP port which nobody uses at the moment."""
    return _free_port


# ---------------------------------------------------------------- the broker
def mosquitto_answers(process: subprocess.Popen[bytes] | None, log: Path, address: tuple[str, int]) -> bool:
    """Tell whether a Mosquitto takes connections; fail when it has ended."""
    assert process is not None
    if process.poll() is not None:
        pytest.fail("Mosquitto ended: " + log.read_text())
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def end_mosquitto(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM until it is gone: Mosquitto forgets one that comes after it listens and before its loop begins."""
    for _ in range(60):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
            return
    process.kill()
    process.wait()
    pytest.fail("Mosquitto does not end")


@dataclass
class Mosquitto:
    """A real Mosquitto of one test, on loopback. `stop` and `start` keep the port: a broker that goes and comes."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = field(default_factory=_free_port)
    settings: tuple[str, ...] = ("allow_anonymous true", "persistence false")
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        executable = program("mosquitto")
        assert executable is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        lines = [f"listener {self.port} {self.host}", "log_dest stderr", *self.settings]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes another user, who cannot enter the test's folder
        config.write_text("\n".join(lines) + "\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([executable, "-c", str(config)], stdout=log, stderr=log)
        _wait_until(self._answers, f"Mosquitto answers on port {self.port}")

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self.process is not None:
            end_mosquitto(self.process)
            self.process = None

    def _answers(self) -> bool:
        return mosquitto_answers(self.process, self.folder / "mosquitto.log", (self.host, self.port))


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker for this test; it has `host`, `port`, `stop()` and `start()`."""
    _require("mosquitto")
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


# ---------------------------------------------------------------- other people's storage
@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Run an OpenSSH server for the session; a test that stops or cuts one starts its own `SshServer`."""
    _require("sshd")
    server = SshServer(tmp_path_factory.mktemp("ssh-server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run a real S3 service for the session (versitygw over a folder); give each test a bucket of its own."""
    _require("versitygw")
    server = S3Server(tmp_path_factory.mktemp("s3-server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run moto's S3 double for the session; it knows storage classes, versions and lifecycle rules."""
    _require("moto")
    server = S3Server(tmp_path_factory.mktemp("moto-server"), kind="moto")
    server.start()
    yield server
    server.stop()


# ---------------------------------------------------------------- the cluster
@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Run a real control plane for the session, with the hospital's machines as nodes that KWOK keeps alive."""
    _require("cluster")
    from tests.cluster.nodes import nodes_of
    from tests.cluster.plane import Plane
    from toolkit.topology.load import load

    crds = find_crds()
    assert crds is not None
    running = Plane(tmp_path_factory.mktemp("plane"), crds)
    running.start()
    try:
        hospital = load([Path(__file__).parents[1] / "tiers.yaml"]).topology
        running.create_all("/api/v1/nodes", nodes_of(hospital))
        yield running
    finally:
        running.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the control plane's logs under a failed test that used it."""
    report = yield
    running = getattr(item, "funcargs", {}).get("plane")
    if report.failed and running is not None:
        report.sections.append(("control plane", running.tails()))
    return report
