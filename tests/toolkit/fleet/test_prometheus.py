"""Figures of a real Prometheus: what it says, what it refuses, and what a rollout does while it is away."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import program
from tests.ports import one_free_port
from tests.toolkit.fleet.pretend import World, entry, intent, publish, publish_desired
from toolkit.errors import UnreachableError, UsageError
from toolkit.fleet.prometheus import OLD_AFTER, Figures, Prometheus
from toolkit.protocol.waves import RolloutState
from toolkit.wire.rollout import Query

HALF = Query(name="half", promql="vector(0.5)", above=0.6)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Give `prometheus()`: the address of one that runs; one for the module."""
    started: list[tuple[subprocess.Popen[bytes], str]] = []

    def start() -> str:
        if not started:
            folder = tmp_path_factory.mktemp("prometheus")
            (folder / "prometheus.yml").write_text("scrape_configs: []\n")
            port = one_free_port()
            executable = program("prometheus")
            assert executable
            command = [
                executable, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ]  # fmt: skip
            with (folder / "log").open("wb") as log:
                started.append(
                    (subprocess.Popen(command, stdout=log, stderr=log), f"http://127.0.0.1:{port}")
                )
        return started[0][1]

    yield start
    for process, _ in started:
        process.terminate()
        process.wait(120)


@pytest.fixture
def asked(prometheus, require, wait_until) -> Prometheus:
    require("prometheus")
    there = Prometheus(prometheus())

    def answers() -> bool:
        try:
            return there.ask("1") == 1.0
        except UnreachableError:
            return False

    wait_until(answers, "Prometheus answers")
    return there


def test_a_scalar_and_the_only_sample_of_a_vector_are_figures(asked: Prometheus) -> None:
    assert asked.ask("0.25") == 0.25
    assert asked.ask("vector(0.5)") == 0.5


@pytest.mark.parametrize(
    ("promql", "said"),
    [
        ("sum(no_such_series)", "gives 0 figures instead of one"),
        ('vector(1) or label_replace(vector(2), "a", "b", "", "")', "gives 2 figures instead of one"),
        ("0/0", "gives nan"),
        ("sum(", "was refused: .*parse error"),
        ("up[5m]", "no answer of Prometheus|instead of one"),
    ],
)
def test_what_is_no_single_figure_is_refused_with_the_reason(
    asked: Prometheus, promql: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        asked.ask(promql)


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("prometheus:9090", None, "no address"),
        ("http://prometheus:9090/?a=b", None, "no address"),
        ("https://me:secret@prometheus", None, "a password does not stand in an address"),
        ("http://prometheus:9090", Path("token"), "https only"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str, token: Path | None, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Prometheus(url, token)
    assert "secret" not in str(caught.value)


def test_nobody_who_sends_us_elsewhere_is_followed(free_port: Callable[[], int]) -> None:
    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/other")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UnreachableError, match="302"):
            Prometheus(f"http://127.0.0.1:{server.server_port}").ask("1")
        server.shutdown()
    with pytest.raises(UnreachableError, match="does not answer"):
        Prometheus(f"http://127.0.0.1:{free_port()}").ask("1")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_figure_becomes_old_and_what_nobody_wants_is_forgotten() -> None:
    clock, answers = Clock(), {"vector(0.5)": 0.5}

    def ask(promql: str) -> float:
        if promql in answers:
            return answers[promql]
        raise UnreachableError("gone")

    figures = Figures(ask, clock=clock)
    figures.want([HALF])
    assert figures.of([HALF]) == {}
    figures.ask_all()
    assert figures.of([HALF]) == {"half": 0.5}
    answers.clear()
    clock.now = OLD_AFTER - 1
    figures.ask_all()
    assert figures.of([HALF]) == {"half": 0.5}, "one missed answer is no reason to stand still"
    clock.now = OLD_AFTER
    assert figures.of([HALF]) == {}
    figures.want([])
    clock.now = 0.0
    figures.ask_all()
    assert figures.of([HALF]) == {}


def test_a_rollout_waits_for_its_figure_and_fails_by_it(asked: Prometheus) -> None:
    world, figures = World(), Figures(asked.ask)
    world.add("a", "b", "c", "d")
    for device in world.devices:
        publish_desired(world.operator, device, (entry(),))
    world.turn()
    driver = world.driver(figures=figures)
    publish(world.operator, intent(queries=(HALF,)))
    for _ in range(8):
        world.turn(driver, seconds=2)
    assert sum(version == "2" for version in world.versions().values()) == 1, "the canary, and no further"
    figures.ask_all()
    for _ in range(12):
        world.turn(driver, seconds=2)
    assert set(world.versions().values()) == {"2"}
    assert driver.progress["digits-2"].state is RolloutState.SUCCEEDED

    worse = Query(name="half", promql=HALF.promql, above=0.4)
    publish(world.operator, intent("digits-3", number=2, artifact="e" * 64, version="3", queries=(worse,)))
    for _ in range(12):
        world.turn(driver, seconds=2)
    progress = driver.progress["digits-3"]
    assert (progress.state, progress.why) == (RolloutState.FAILED, "query-half: 0.5, limit 0.4")
    courses = driver.watch.retained.courses
    assert courses["digits-3"].figures == {"half": 0.5}
