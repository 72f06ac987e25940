"""Questions to a model without an engine wait for it, within bounds, and get one of the documented answers."""

from __future__ import annotations

import asyncio
import threading
from time import perf_counter

import numpy as np
import pytest

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.ask import Ask, Priority
from edge_runtime.serving.gate import Gate
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import (
    DeadlineError,
    NotReadyError,
    OverloadedError,
    UnknownModelError,
)
from tests.contracts.engine import HeldEngine, feed, scale_model
from tests.edge_runtime.serving.conftest import request_of
from toolkit.wire.device_config import ModelConfig

M = ModelConfig(name="m")
X = np.ones((1, 4), np.float32)
HOLD = 600
"""Seconds for which a question is held here, where nothing else shall end it."""


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


async def until(condition):
    while not condition():  # noqa: ASYNC110 -- what is waited for has no event
        await asyncio.sleep(0.001)


def test_a_pause_waits_for_the_last_question_and_holds_the_next_for_the_new_version():
    async def main():
        table, old, new = ModelTable([M], hold_seconds=HOLD), HeldEngine(), HeldEngine()
        await table.swap("m", "1", old)
        old.gate.clear()
        slow = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await asyncio.to_thread(old.entered.acquire)
        pause = asyncio.create_task(table.pause("m"))
        await until(lambda: not table.loaded("m"))
        held = [asyncio.create_task(table.answer(Ask("m", feed(1)))) for _ in range(5)]
        old_only = asyncio.create_task(table.answer(Ask("m", feed(1), version="1")))
        assert not old.closed.is_set()
        old.gate.set()
        await pause
        assert old.closed.is_set(), "its memory is free before anything else is loaded"
        assert (await slow).version == "1"
        assert not any(task.done() for task in held)
        await table.swap("m", "2", new)
        assert {(await task).version for task in held} == {"2"}
        with pytest.raises(UnknownModelError, match="served as 2, not as '1'"):
            await old_only
        assert not old.calls[1:]
        await table.close()

    run(main())


def test_as_many_are_held_as_may_wait_and_a_failure_sends_them_away():
    async def main():
        table = ModelTable([ModelConfig(name="m", queue=2)], hold_seconds=HOLD)
        await table.swap("m", "1", HeldEngine())
        await table.pause("m")
        held = [asyncio.create_task(table.answer(Ask("m", feed(1)))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="2 requests wait for model m, which is all that may"):
            await table.answer(Ask("m", feed(1)))
        table.resume("m", "out of memory")
        for task in held:
            with pytest.raises(NotReadyError, match="model m: out of memory") as caught:
                await task
            assert caught.value.retryable
        with pytest.raises(NotReadyError, match="no version loaded yet"):
            await table.answer(Ask("m", feed(1)))
        await table.close()

    run(main())


def test_a_deadline_ends_the_wait_and_so_does_the_longest_time():
    async def main():
        gate = Gate("m", 5, "it is being loaded", seconds=0.02)
        with pytest.raises(DeadlineError):
            await gate.wait(perf_counter() + 0.01)
        with pytest.raises(DeadlineError):
            await gate.wait(perf_counter() - 1)
        with pytest.raises(NotReadyError, match=r"it is being loaded, which takes longer than 0\.02 s"):
            await gate.wait(perf_counter() + 60)
        assert gate.waiting == 0
        gate.open()
        await gate.wait(perf_counter() - 1)

    run(main())


def test_a_sleeping_version_is_loaded_once_for_all_that_ask_at_once():
    async def main():
        table, woken = ModelTable([M], hold_seconds=HOLD), []
        await table.sleep("m", "7", lambda: woken.append(1))
        assert (table.version("m"), table.ready, table.loaded("m")) == ("7", True, False)
        with pytest.raises(UnknownModelError, match="served as 7, not as '8'"):
            await table.answer(Ask("m", feed(1), version="8"))
        assert not woken
        asked = [asyncio.create_task(table.answer(Ask("m", feed(1)))) for _ in range(20)]
        reached = asyncio.create_task(table.reach("m"))
        await until(lambda: woken)
        await asyncio.sleep(0)
        await table.swap("m", "7", HeldEngine())
        assert {(await task).version for task in asked} == {"7"}
        assert (await reached).version == "7"
        assert woken == [1]
        (stats,) = table.stats()
        assert stats.first_seconds is not None
        await table.close()

    run(main())


def test_what_goes_to_sleep_has_left_memory_when_that_is_said():
    async def main():
        table, engine = ModelTable([M], hold_seconds=HOLD), HeldEngine()
        await table.swap("m", "1", engine)
        engine.gate.clear()
        last = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await asyncio.to_thread(engine.entered.acquire)
        sleeping = asyncio.create_task(table.sleep("m", "1", lambda: None))
        done, _ = await asyncio.wait([sleeping], timeout=0.1)
        assert not done
        engine.gate.set()
        await sleeping
        assert engine.closed.is_set()
        assert (await last).version == "1"
        await table.close()

    run(main())


def test_a_version_that_did_not_wake_is_tried_again_by_the_next():
    async def main():
        table, woken = ModelTable([M], hold_seconds=HOLD), []
        await table.sleep("m", "7", lambda: woken.append(1))
        asked = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await until(lambda: woken)
        table.resume("m", "the disk does not answer")
        with pytest.raises(NotReadyError, match="the disk does not answer"):
            await asked
        again = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await until(lambda: len(woken) == 2)
        await table.withdraw("m")
        with pytest.raises(NotReadyError):
            await again
        assert table.version("m") == ""
        await table.close()

    run(main())


def test_only_what_nobody_uses_and_no_emergency_asked_may_leave_memory():
    async def main():
        table, engine = ModelTable([M], hold_seconds=HOLD), HeldEngine()
        assert table.idle_since("m") is None
        await table.swap("m", "1", engine)
        engine.gate.clear()
        asked = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await asyncio.to_thread(engine.entered.acquire)
        assert table.idle_since("m") is None
        engine.gate.set()
        await asked
        idle = table.idle_since("m")
        assert idle is not None
        await table.answer(Ask("m", feed(1)))
        assert table.idle_since("m") > idle
        await table.answer(Ask("m", feed(1), priority=Priority.EMERGENCY))
        assert table.idle_since("m") is None
        await table.close()

    run(main())


def test_an_engine_is_not_closed_while_a_question_is_on_its_way_to_it():
    """A cache or a stage before the engine takes its time, and the version is swapped meanwhile."""

    class Slow:
        def __init__(self, inner):
            self.inner, self.arrived, self.go = inner, asyncio.Event(), asyncio.Event()

        async def answer(self, ask):
            self.arrived.set()
            await self.go.wait()
            return await self.inner.answer(ask)

    async def main():
        dressed = []

        def dress(model):
            dressed.append(Slow(model))
            return dressed[-1]

        table, old = ModelTable([M], dress, hold_seconds=HOLD), HeldEngine()
        await table.swap("m", "1", old)
        asked = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await dressed[0].arrived.wait()
        await table.swap("m", "2", HeldEngine())
        assert not await asyncio.to_thread(old.closed.wait, 0.2)
        dressed[0].go.set()
        assert (await asked).version == "1"
        assert await asyncio.to_thread(old.closed.wait, 60)
        await table.close()

    run(main())


def test_over_http_a_lazy_model_answers_its_first_request_and_shows_how_long_that_took(serve, tmp_path):
    serving = serve(M)
    engine = open_engine(scale_model(tmp_path / "m.onnx", 3))
    woken = threading.Event()
    serving.call(serving.table.sleep("m", "7", woken.set))
    assert serving.ask("GET", "/v2/health/ready")[0] == 200
    short = {**request_of(x=X), "parameters": {"timeout": 1}}
    assert serving.ask("POST", "/v2/models/m/infer", short)[0] == 504, "its deadline is its own"
    assert woken.is_set()
    answers = []
    client = threading.Thread(
        target=lambda: answers.append(serving.ask("POST", "/v2/models/m/infer", request_of(x=X)))
    )
    client.start()
    serving.swap("m", "7", engine)
    client.join(60)
    ((status, _, document),) = answers
    assert (status, document["model_version"], document["outputs"][0]["data"]) == (200, "7", [3, 3, 3, 3])
    found = serving.scrape()
    assert found['edge_model_loaded{model="m"}'] == 1
    assert found['edge_first_request_seconds{model="m",version="7"}'] > 0


def test_over_http_a_question_that_is_held_in_vain_is_told_when_to_ask_again(serve):
    serving = serve(ModelConfig(name="m", queue=1))
    serving.swap("m", "1", HeldEngine())
    serving.call(serving.table.pause("m"))
    answers = []
    client = threading.Thread(
        target=lambda: answers.append(serving.ask("POST", "/v2/models/m/infer", request_of(**feed(1))))
    )
    client.start()

    async def held():
        await until(lambda: serving.table._slots["m"].gate.waiting)

    serving.call(held())
    status, headers, _ = serving.ask("POST", "/v2/models/m/infer", request_of(**feed(1)))
    assert (status, headers["Retry-After"]) == (429, "2")

    async def resume():
        serving.table.resume("m", "no memory")

    serving.call(resume())
    client.join(60)
    ((status, headers, document),) = answers
    assert (status, headers["Retry-After"], "no memory" in document["error"]) == (503, "2", True)
