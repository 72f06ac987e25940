"""What the batcher runs on the loop's own thread, and what it leaves to the engine's."""

from __future__ import annotations

import asyncio
import math
import queue
import random
import threading
import time

import numpy as np
import pytest

from edge_runtime.serving.ask import Ask, Priority
from edge_runtime.serving.company import Company
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import DeadlineError
from edge_runtime.serving.served import ServedModel
from tests.contracts.engine import HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import ModelConfig, ShadowConfig

SECONDS = 100


class Bound(Company):
    """Allows calls of any length, or none."""

    def __init__(self, seconds=math.inf):
        super().__init__()
        self.seconds = seconds

    def bound(self, now):  # noqa: ARG002 -- as Company
        return self.seconds


class Bell:
    """Tells when the engine's thread listens, which is when it has looked for the last time."""

    def __init__(self):
        self._queue, self.listens = queue.SimpleQueue(), threading.Event()
        self._turn = threading.Lock()  # nobody rings between the look at the queue and what is said of it

    def put(self, item):
        with self._turn:
            self.listens.clear()
            self._queue.put(item)

    def get(self, timeout=None):
        with self._turn:
            if self._queue.empty():
                self.listens.set()
        return self._queue.get(timeout=timeout)


def run(main):
    return asyncio.run(asyncio.wait_for(main, SECONDS))


async def served(engine, company=None, **config):
    """Serve the model with this engine, on the loop where `company` allows it."""
    model = ServedModel(ModelConfig(name="m", **config), "1", engine)
    model.batcher._bell = Bell()
    await model.batcher.start()
    if company is not None:
        model.batcher.share_loop(company)
    await at_rest(model)
    return model


async def at_rest(model):
    assert await asyncio.to_thread(model.batcher._bell.listens.wait, SECONDS)


def free(engine):
    engine.any_thread = True
    return engine


async def infer(model, inputs, priority=Priority.NORMAL, deadline=math.inf):
    return (await model.answer(Ask("m", inputs, priority=priority, deadline=deadline))).outputs


LOOP, THREAD = {threading.current_thread().name}, {"model m 1"}


def test_what_comes_in_one_turn_of_the_loop_is_one_call_on_the_loops_thread():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        results = await asyncio.gather(*(infer(model, feed(1, start)) for start in range(5)))
        for start, result in enumerate(results):
            np.testing.assert_array_equal(result["y"], feed(1, start)["x"] * 2)
        assert (engine.rows, engine.threads) == ([5], LOOP)
        assert model.stats.batches == {"loop": 1}
        assert model.stats.turns[Priority.NORMAL] == 5
        assert (model.admission.waiting, model.admission.rows, model.admission.running) == (0, 0, ())
        await model.batcher.stop()
        assert engine.closed.is_set()

    run(main())


def test_what_came_alone_is_answered_at_once():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        with pytest.raises(StopIteration) as answered:
            model.answer(Ask("m", feed(1, 3), alone=True)).send(None)
        assert answered.value.value.outputs["y"][0, 0] == 6
        assert (engine.rows, engine.threads, model.stats.batches) == ([1], LOOP, {})
        await asyncio.sleep(0)
        assert (model.stats.batches, model.stats.turns[Priority.NORMAL]) == ({"loop": 1}, 1)
        assert (model.admission.waiting, model.admission.rows, model.admission.running) == (0, 0, ())
        await model.batcher.stop()

    run(main())


def test_what_came_alone_goes_with_those_whose_turn_comes_anyway():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        first = asyncio.create_task(infer(model, feed(1)))
        await asyncio.sleep(0)
        await model.answer(Ask("m", feed(1), alone=True))
        await first
        assert engine.rows == [2]
        await model.batcher.stop()

    run(main())


def test_what_came_alone_waits_for_the_thread_that_is_in_the_engine():
    async def main():
        engine, company = free(HeldEngine()), Bound(0.0)
        engine.gate.clear()
        model = await served(engine, company, max_batch=8)
        first = asyncio.create_task(infer(model, feed(1)))
        assert await asyncio.to_thread(engine.entered.acquire, timeout=SECONDS)
        company.seconds = math.inf
        second = asyncio.create_task(model.answer(Ask("m", feed(1), alone=True)))
        await asyncio.sleep(0)
        assert len(engine.calls) == 1
        engine.gate.set()
        await asyncio.gather(first, second)
        assert engine.threads == THREAD
        await model.batcher.stop()

    run(main())


@pytest.mark.parametrize(
    ("any_thread", "company"),
    [(False, Bound()), (True, Bound(0.0)), (True, None)],
    ids=["bound to its thread", "long", "not shared"],
)
def test_the_thread_has_engines_that_ask_for_it_and_calls_that_are_long(any_thread, company):
    async def main():
        engine = HeldEngine()
        engine.any_thread = any_thread
        model = await served(engine, company, max_batch=8)
        for start in range(3):
            await infer(model, feed(1, start))
        assert engine.threads == THREAD
        await model.batcher.stop()

    run(main())


def test_the_thread_has_what_does_not_go_with_one_call():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=4)
        results = await asyncio.gather(*(infer(model, feed(1, start)) for start in range(9)))
        assert [result["y"][0, 0] for result in results] == [2 * start for start in range(9)]
        assert engine.threads >= THREAD  # who may leave the last of them to the loop
        assert sum(engine.rows) == 9
        await at_rest(model)
        await infer(model, feed(4))
        assert engine.threads == THREAD | LOOP
        await model.batcher.stop()

    run(main())


def test_calls_of_a_model_that_takes_requests_one_by_one_run_here_while_one_waits():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=0)
        assert (await infer(model, feed(20)))["y"].shape == (20, 4)
        assert engine.threads == LOOP
        await model.batcher.stop()

    run(main())


def test_an_emergency_goes_first_and_alone_on_the_loop_too():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        classes = (Priority.BATCH, Priority.NORMAL, Priority.EMERGENCY)
        await asyncio.gather(*(infer(model, feed(1, start), each) for start, each in enumerate(classes)))
        assert [int(call["x"][0, 0]) for call in engine.calls] == [2, 1]
        assert engine.rows == [1, 2]
        assert model.stats.batches == {"urgent": 1, "loop": 1}
        await model.batcher.stop()

    run(main())


def test_one_bad_request_of_a_call_on_the_loop_fails_alone():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        bad = {**feed(1), "k": np.array([7])}
        results = await asyncio.gather(
            *(infer(model, each) for each in (feed(1), bad, feed(1))), return_exceptions=True
        )
        assert [isinstance(each, EngineError) for each in results] == [False, True, False]
        assert engine.threads == LOOP
        await model.batcher.stop()

    run(main())


def test_who_is_too_late_before_the_call_is_not_computed_and_who_is_after_it_hears_so():
    class Slow(HeldEngine):
        until = 0.0

        def infer(self, inputs):
            while time.perf_counter() <= self.until:
                pass
            return super().infer(inputs)

    async def main():
        engine = free(Slow())
        model = await served(engine, Bound(), max_batch=8)
        with pytest.raises(DeadlineError):
            await infer(model, feed(1), deadline=time.perf_counter() - 1)
        assert engine.calls == []
        engine.until = time.perf_counter() + 0.3
        late, patient = await asyncio.gather(
            infer(model, feed(1), deadline=engine.until), infer(model, feed(1)), return_exceptions=True
        )
        assert isinstance(late, DeadlineError)
        assert patient["y"].shape == (1, 4)
        assert engine.rows in (
            [2],
            [1],
        )  # on a machine that stands still it was too late before the call, too
        assert model.stats.missed[Priority.NORMAL] == 2
        await model.batcher.stop()

    run(main())


def test_what_a_client_gave_up_before_the_turn_is_not_computed():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        ask = asyncio.create_task(infer(model, feed(3)))
        await asyncio.sleep(0)
        ask.cancel()
        await asyncio.wait([ask])
        await infer(model, feed(1))
        assert engine.rows == [1]
        await model.batcher.stop()

    run(main())


def test_stopping_before_the_turn_comes_loses_nobody():
    async def main():
        engine = free(HeldEngine())
        model = await served(engine, Bound(), max_batch=8)
        asks = [asyncio.create_task(infer(model, feed(1))) for _ in range(3)]
        await asyncio.sleep(0)
        await model.batcher.stop()
        assert [result["y"].shape for result in await asyncio.gather(*asks)] == [(1, 4)] * 3
        assert engine.threads == THREAD
        assert engine.closed.is_set()

    run(main())


@pytest.mark.parametrize("seed", [1, 2])
def test_loop_and_thread_are_never_both_in_the_engine_and_nobody_is_forgotten(seed):
    class Narrow(HeldEngine):
        def __init__(self):
            super().__init__()
            self.inside, self.crowded = threading.Lock(), 0

        def infer(self, inputs):
            if not self.inside.acquire(blocking=False):
                self.crowded += 1
                return super().infer(inputs)
            try:
                until = time.perf_counter() + 50e-6
                while time.perf_counter() < until:
                    pass
                return super().infer(inputs)
            finally:
                self.inside.release()

    async def main():
        draw, engine, company = random.Random(seed), free(Narrow()), Bound()
        model = await served(engine, company, max_batch=4, queue=1000)

        async def client(number):
            for turn in range(150):
                company.seconds = draw.choice((0.0, math.inf))
                result = await infer(model, feed(1, number * 100 + turn))
                assert result["y"][0, 0] == 2 * (number * 100 + turn)
                await asyncio.sleep(draw.choice((0, 0, 0, 0.0002)))

        await asyncio.gather(*map(client, range(3)))
        await at_rest(model)
        for company.seconds in (0.0, math.inf):
            await infer(model, feed(1))
            await at_rest(model)
        assert engine.crowded == 0
        assert engine.threads == THREAD | LOOP
        assert sum(engine.rows) == 452
        await model.batcher.stop()

    run(main())


def test_the_loop_leaves_an_engine_alone_that_its_thread_is_in():
    async def main():
        engine, company = free(HeldEngine()), Bound(0.0)
        engine.gate.clear()
        model = await served(engine, company, max_batch=8)
        first = asyncio.create_task(infer(model, feed(1)))
        assert await asyncio.to_thread(engine.entered.acquire, timeout=SECONDS)
        company.seconds = math.inf
        second = asyncio.create_task(infer(model, feed(1)))
        await asyncio.sleep(0)
        model.batcher._take_turn()
        assert len(engine.calls) == 1
        engine.gate.set()
        await asyncio.gather(first, second)
        assert engine.threads == THREAD
        await model.batcher.stop()

    run(main())


def test_a_version_in_the_shadow_keeps_its_thread_until_it_is_promoted():
    async def main():
        old, new = free(HeldEngine()), free(HeldEngine())
        table = ModelTable([ModelConfig(name="m", max_batch=8)])
        table._company = Bound()
        await table.swap("m", "1", old)
        while old.threads != LOOP:  # its thread looks once more after the start
            old.threads.clear()
            await table.answer(Ask("m", feed(1)))
        rehearsal = asyncio.create_task(
            table.rehearse("m", "2", new, "a", ShadowConfig(requests=50, seconds=SECONDS))
        )
        while not rehearsal.done():
            await table.answer(Ask("m", feed(1)))
            await asyncio.sleep(0)
        assert new.threads == {"model m 2"}
        assert await table.promote("m", "a")
        while not new.threads >= LOOP:
            await table.answer(Ask("m", feed(1)))
        await table.close()

    run(main())
