"""Loading and switching where memory is short or a model is lazy: real engines, and a machine that says what it has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from time import monotonic

import numpy as np
import pytest

from edge_runtime.activate import Activator
from edge_runtime.memory import PER_MODEL, RESERVE
from edge_runtime.opening import Loadable
from edge_runtime.residents import Memory, Plan, Residents
from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.models import ModelTable
from edge_runtime.ties import Ties
from edge_runtime.worker import Worker
from tests.contracts.engine import scale_model
from toolkit.errors import TiersError
from toolkit.wire.device_config import ModelConfig, ShadowConfig

X = {"x": np.ones((1, 4), np.float32)}
PLENTY, NOTHING = 1 << 40, 0


class Bench:
    """A table on a loop of its own, an activator, and the test as the control thread."""

    def __init__(self, folder: Path, *models: ModelConfig, budget: int = 0) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.configs = {each.name: each for each in models}
        self.table = ModelTable(models)
        self.calls: Queue[Callable[[], None]] = Queue()
        self.loader = Worker("loader", self.calls.put)
        self.free = PLENTY
        self.lost: list[tuple[str, str, str]] = []
        self.kept: set[str] = set()
        self.activator = Activator(
            self.table, self.loop, self.loader, self.calls.put, memory=Memory(budget, lambda: self.free)
        )
        self.activator.ties = Ties(self.kept.__contains__, lambda *told: self.lost.append(told))

    def make(
        self,
        version: str,
        model: str = "m",
        *,
        good: bool = True,
        factor: float | None = None,
        width: int = 4,
    ) -> Loadable:
        folder = self.folder / f"{model}-{version}"
        folder.mkdir()
        file = folder / "model.onnx"
        if good:
            scale_model(file, float(version) if factor is None else factor, width)
        else:
            file.write_bytes(b"no model")
        return Loadable(version, f"{model}-{version}", file, self.configs[model])

    def until(self, condition: Callable[[], object]) -> None:
        """Be the control thread until this holds."""
        deadline = monotonic() + 60
        while not condition():
            assert monotonic() < deadline, "it did not come about"
            try:
                self.calls.get(timeout=0.01)()
            except Empty:
                continue

    def finish(self, start: Callable[[Callable[[str], None]], None]) -> str:
        """Begin something and give the reason with which it ended."""
        ends: list[str] = []
        start(ends.append)
        self.until(lambda: ends)
        assert len(ends) == 1
        return ends[0]

    def serve(self, loadable: Loadable) -> str:
        return self.finish(lambda done: self.activator.serve(loadable, done))

    def prepare(self, loadable: Loadable) -> str:
        return self.finish(lambda done: self.activator.prepare(loadable, lambda _, reason: done(reason)))

    def ask(
        self,
        model: str = "m",
        priority: Priority = Priority.NORMAL,
        *,
        client: str = "",
        **parameters: object,
    ):
        ask = Ask(model, X, priority=priority, client=client, parameters=parameters)
        return asyncio.run_coroutine_threadsafe(self.table.answer(ask), self.loop)

    def answer(self, model: str = "m", priority: Priority = Priority.NORMAL, **parameters: object) -> Answer:
        asked = self.ask(model, priority, **parameters)
        self.until(asked.done)
        return asked.result()

    def hold(self, model: str = "m"):
        """Ask, and wait until the question waits at the gate."""
        asked = self.ask(model)
        slot = self.table._slots[model]
        deadline = monotonic() + 60
        while slot.gate is None or not slot.gate.waiting:
            assert monotonic() < deadline, "it does not wait"
        return asked

    def loaded(self) -> set[str]:
        return {model for model in self.configs if self.table.loaded(model)}

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.table.close(), self.loop).result(30)
        self.loader.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


@pytest.fixture
def bench(tmp_path):
    benches = []

    def make(*models: ModelConfig, budget: int = 0) -> Bench:
        benches.append(Bench(tmp_path, *(models or (ModelConfig(name="m"),)), budget=budget))
        return benches[-1]

    yield make
    for each in benches:
        each.close()


class Client:
    """Asks without a pause in a thread of its own, and keeps what it was told."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._enough = threading.Event()
        self.told: list[str] = []
        self.seen = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._enough.is_set():
            try:
                self.told.append(self._bench.ask().result(60).version)
            except TiersError as error:
                self.told.append(type(error).__name__)
            self.seen.release()

    def end(self) -> list[str]:
        self._enough.set()
        self._thread.join(60)
        return self.told


def test_where_memory_holds_two_the_old_one_serves_until_the_switch(bench) -> None:
    made = bench()
    assert made.serve(made.make("1")) == ""
    new = made.make("2")
    assert made.prepare(new) == ""
    assert made.answer().version == "1"
    assert made.serve(new) == ""
    assert made.answer().version == "2"


def test_where_it_does_not_requests_wait_for_the_new_one_and_none_fails(bench) -> None:
    made = bench()
    made.serve(made.make("1"))
    clients = [Client(made) for _ in range(3)]
    for version in ("2", "3"):
        for client in clients:
            assert client.seen.acquire(timeout=60)
        made.free = NOTHING
        new = made.make(version)
        cleared = []
        made.activator.clear_for(new, lambda: cleared.append(1))  # noqa: B023 -- called in this round
        made.until(lambda: cleared)  # noqa: B023
        assert not made.loaded(), "the old one is closed before the check loads the new one"
        assert made.prepare(new) == ""
        assert made.serve(new) == ""
    for client in clients:
        assert client.seen.acquire(timeout=60)
    told = [version for client in clients for version in client.end()]
    assert set(told) <= {"1", "2", "3"}
    assert not made.lost


def test_the_old_one_is_loaded_again_when_the_new_one_does_not_load(bench) -> None:
    made = bench()
    old = made.make("1")
    made.serve(old)
    made.free = NOTHING
    client = Client(made)
    assert client.seen.acquire(timeout=60)
    assert "is not an ONNX file" in made.prepare(made.make("2", good=False))
    made.activator.drop("m")  # what a failed attempt ends with
    made.until(lambda: made.table.loaded("m"))
    assert made.answer().version == "1"
    assert set(client.end()) == {"1"}
    assert made.activator.serving("m") == old.artifact
    assert old.file.exists()


def test_the_old_one_is_loaded_again_when_serving_the_new_one_without_a_check_fails(bench) -> None:
    made = bench()
    made.serve(made.make("1"))
    made.free = NOTHING
    assert "is not an ONNX file" in made.serve(made.make("2", good=False))
    made.until(lambda: made.table.loaded("m"))
    assert made.answer().version == "1"


def test_an_old_one_that_does_not_come_back_is_told(bench) -> None:
    made = bench()
    old = made.make("1")
    made.serve(old)
    made.free = NOTHING
    cleared = []
    made.activator.clear_for(made.make("2"), lambda: cleared.append(1))
    made.until(lambda: cleared)
    held = made.hold()
    old.file.write_bytes(b"the disk is damaged")
    made.activator.drop("m")
    made.until(lambda: made.lost)
    ((model, artifact, reason),) = made.lost
    assert (model, artifact, "is not an ONNX file" in reason) == ("m", "m-1", True)
    made.until(held.done)
    assert "does not load" in str(held.exception())


def test_what_was_given_up_meanwhile_does_not_go_on(bench) -> None:
    made = bench()
    made.serve(made.make("1"))
    made.free = NOTHING
    late = []
    made.activator.clear_for(made.make("2"), lambda: late.append(1))
    made.activator.drop("m")
    made.until(lambda: made.answer().version == "1" and made.table.loaded("m"))
    assert not late


def test_a_withdrawn_model_lets_its_questions_go(bench) -> None:
    made = bench()
    made.serve(made.make("1"))
    made.free = NOTHING
    cleared = []
    made.activator.clear_for(made.make("2"), lambda: cleared.append(1))
    made.until(lambda: cleared)
    held = made.hold()
    assert made.finish(lambda done: made.activator.withdraw("m", done)) == ""
    made.until(held.done)
    assert "no version loaded" in str(held.exception())


LAZY = tuple(ModelConfig(name=name, load="lazy") for name in "abc")


def test_a_lazy_model_is_loaded_by_its_first_questions_once(bench) -> None:
    made = bench(*LAZY)
    version = made.make("5", "a")
    assert made.serve(version) == ""
    assert made.loaded() == set()
    assert made.activator.serving("a") == version.artifact
    asked = [made.ask("a") for _ in range(8)]
    made.until(lambda: all(each.done() for each in asked))
    assert {each.result().version for each in asked} == {"5"}
    assert made.activator.loads == {("a", True): 1}


def test_a_lazy_model_that_does_not_load_says_so_to_its_questions_and_to_the_installation(bench) -> None:
    made = bench(*LAZY)
    made.serve(made.make("5", "a", good=False))
    asked = made.ask("a")
    made.until(lambda: asked.done() and made.lost)
    told = str(asked.exception())
    assert "it does not load" in told
    assert str(made.folder) not in told, "clients need not know where files lie"
    assert made.lost[0][:2] == ("a", "a-5")


def test_a_question_does_not_wake_a_version_whose_successor_is_on_its_way(bench) -> None:
    made = bench(*LAZY)
    made.serve(made.make("5", "a"))
    new = made.make("6", "a")
    assert made.prepare(new) == ""
    held = made.hold("a")  # its wake waits for the control thread, behind what follows
    assert made.serve(new) == ""
    made.until(held.done)
    assert held.result().version == "6"
    made.until(made.calls.empty)
    assert made.activator.loads == {("a", True): 1}


def test_the_model_that_nobody_asked_for_longest_leaves_for_another(bench) -> None:
    made = bench(*LAZY, budget=2 * PER_MODEL + PER_MODEL // 2)
    for name in "abc":
        made.serve(made.make("5", name))
    made.answer("a")
    made.answer("b")
    made.answer("a")
    assert made.loaded() == {"a", "b"}
    made.answer("c")
    assert made.loaded() == {"a", "c"}
    made.answer("b")
    assert made.loaded() == {"b", "c"}
    assert not made.lost


def test_what_is_on_probation_or_was_asked_in_an_emergency_stays(bench) -> None:
    made = bench(*LAZY, budget=PER_MODEL + PER_MODEL // 2)
    made.kept.add("a")
    for name in "abc":
        made.serve(made.make("5", name))
    assert made.loaded() == {"a"}, "what is on probation is loaded at once"
    made.answer("b", Priority.EMERGENCY)
    made.answer("c")
    assert made.loaded() == {"a", "b", "c"}
    assert not made.activator.unload("a")
    made.kept.clear()
    assert made.activator.unload("a")
    made.until(lambda: not made.table.loaded("a"))
    assert made.answer("a").version == "5"


# ---------------------------------------------------------------- shadow and trial
def shadowed(**limits: float) -> ModelConfig:
    return ModelConfig(name="m", shadow=ShadowConfig(requests=3, seconds=60, **limits))


def rehearse(made: Bench, loadable: Loadable) -> tuple[str, str]:
    """Prepare a version while clients ask, and give code and reason."""
    ends: list[tuple[str, str]] = []
    made.activator.prepare(loadable, lambda *end: ends.append(end))
    made.until(lambda: ends or made.table._slots["m"].shadow is not None)
    told = []
    while not ends:
        told.append(made.answer().version)
    assert set(told) <= {"1"}, "clients hear nothing of it"
    made.until(lambda: ends)
    return ends[0]


def test_a_version_that_says_the_same_passes_its_shadow_and_serves_without_being_loaded_again(bench) -> None:
    made = bench(shadowed(max_difference=0.001))
    made.serve(made.make("1"))
    same = made.make("2", factor=1.0)
    assert rehearse(made, same) == ("", "")
    assert made.answer().version == "1", "it has not been switched yet"
    assert made.serve(same) == ""
    assert made.answer().version == "2"
    assert made.activator.loads == {("m", True): 2}


def test_a_version_that_differs_is_refused_with_figures_and_the_old_one_stays(bench) -> None:
    made = bench(shadowed(max_difference=0.5))
    made.serve(made.make("1"))
    code, reason = rehearse(made, made.make("2"))
    assert code == "shadow-differs"
    assert "3 requests compared" in reason
    assert "outputs differ by at most 1, 1 in the mean; same best class in 100.00%" in reason
    made.activator.drop("m")
    made.until(lambda: made.table._slots["m"].candidate is None)
    assert made.answer().version == "1"


def test_without_limits_a_shadow_only_tells(bench) -> None:
    made = bench(shadowed())
    made.serve(made.make("1"))
    assert rehearse(made, made.make("2")) == ("", "")


def test_a_version_that_fails_what_the_old_one_answers_is_refused(bench) -> None:
    made = bench(shadowed())
    made.serve(made.make("1"))
    code, reason = rehearse(made, made.make("2", width=5))
    assert code == "shadow-failed"
    assert "expected x float32[?, 5]" in reason


def test_a_shadow_that_nobody_asks_ends_with_its_time(bench) -> None:
    made = bench(ModelConfig(name="m", shadow=ShadowConfig(requests=3, seconds=0.01, max_difference=0.0)))
    made.serve(made.make("1"))
    assert made.prepare(made.make("2")) == ""


def test_a_shadow_that_is_given_up_says_nothing_any_more(bench) -> None:
    made = bench(shadowed())
    made.serve(made.make("1"))
    ends: list[tuple[str, str]] = []
    made.activator.prepare(made.make("2"), lambda *end: ends.append(end))
    made.until(lambda: made.table._slots["m"].shadow is not None)
    made.activator.drop("m")
    made.until(lambda: made.table._slots["m"].shadow is None)
    assert made.answer().version == "1"
    assert not ends


TRIAL = ModelConfig(name="m", trial_share=0.5, probation_seconds=60)


def on_trial(made: Bench) -> Loadable:
    """Bring a model to a trial of 2 beside 1; give what serves the others."""
    old, new = made.make("1"), made.make("2")
    made.serve(old)
    assert made.prepare(new) == ""
    made.kept.add("m")
    assert made.serve(new) == ""
    return old


def clients(made: Bench, count: int = 200) -> dict[str, str]:
    """Ask for so many clients; give the version that each got."""
    asked = {f"client-{number}": made.ask(client=f"client-{number}") for number in range(count)}
    made.until(lambda: all(each.done() for each in asked.values()))
    return {client: each.result().version for client, each in asked.items()}


def test_a_trial_answers_its_share_of_clients_each_by_one_version(bench) -> None:
    made = bench(TRIAL)
    on_trial(made)
    first = clients(made)
    assert 70 <= list(first.values()).count("2") <= 130, "200 fair coins, by hash: it is the same each time"
    assert clients(made) == first
    assert {made.answer(ab_key="study-7").version for _ in range(5)} in ({"1"}, {"2"})
    keyed = {made.answer(ab_key=f"study-{number}").version for number in range(30)}
    assert keyed == {"1", "2"}, "a key of one client's requests spreads them"
    assert made.activator.serving("m") == "m-2"


def test_a_trial_that_ends_well_answers_everybody(bench) -> None:
    made = bench(TRIAL)
    on_trial(made)
    made.kept.clear()
    made.activator.settle("m")
    made.until(lambda: made.table._slots["m"].former is None)
    assert set(clients(made, 30).values()) == {"2"}


def test_a_trial_that_fails_goes_back_without_loading(bench) -> None:
    made = bench(TRIAL)
    old = on_trial(made)
    before = dict(made.activator.loads)
    assert made.serve(old) == ""
    assert set(clients(made, 30).values()) == {"1"}
    assert dict(made.activator.loads) == before
    assert made.activator.serving("m") == old.artifact


def test_a_trial_is_taken_up_again_after_a_restart(bench) -> None:
    made = bench(TRIAL)
    old, new = made.make("1"), made.make("2")
    made.kept.add("m")
    made.serve(new)
    made.activator.accompany(old)
    made.until(lambda: made.table._slots["m"].former is not None)
    assert set(clients(made, 50).values()) == {"1", "2"}
    made.activator.accompany(old)
    assert made.activator.at_rest, "it is there already"
    assert made.serve(old) == ""
    assert set(clients(made, 30).values()) == {"1"}


def test_a_plan_asks_for_as_little_as_it_can(tmp_path: Path) -> None:
    def some(name: str) -> Loadable:
        return Loadable("1", f"{name}-1", tmp_path / name, ModelConfig(name=name))

    free = 100 + RESERVE
    held = Residents(Memory(free=lambda: free))
    for name, taken in (("m", 50), ("a", 20), ("b", 20)):
        held.add(name, some(name), taken)
    assert held.plan("m", 100, ["a", "b"]) == Plan()
    assert held.plan("m", 110, ["a", "b"]) == Plan(("a",))
    assert held.plan("m", 130, ["b", "a"]) == Plan(("b", "a"))
    assert held.plan("m", 150, ["a", "b"]) == Plan((), drain=True)
    assert held.plan("m", 170, ["a", "b"]) == Plan(("a", "b"), drain=True)
    assert held.plan("new", 170, ["a", "b"]) == Plan(("a", "b"))
    assert held.plan("m", 110, ["m", "gone"]) == Plan((), drain=True)
    held.memory = Memory(budget_bytes=100, free=lambda: None)
    assert held.plan("m", 10, ["a"]) == Plan()
    assert held.plan("m", 11, ["a"]) == Plan(("a",))
