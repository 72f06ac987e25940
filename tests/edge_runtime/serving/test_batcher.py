from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.engine.base import TensorSpec
from edge_runtime.serving.batcher import Ticket, take_batch
from edge_runtime.serving.models import ServedModel
from edge_runtime.serving.refusals import BadRequestError, DeadlineError, OverloadedError
from tests.contracts.engine import TABLE, HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import ModelConfig

SECONDS = 20


def run(main):
    return asyncio.run(asyncio.wait_for(main, SECONDS))


class Held:
    """A served model whose engine stands still: one request is in it, the gate is shut."""

    def __init__(self, **config):
        self.engine = HeldEngine()
        self.engine.gate.clear()
        self.config = ModelConfig(name="m", **config)
        self.tasks = []

    async def __aenter__(self):
        self.model = ServedModel(self.config, "1", self.engine)
        await self.model.batcher.start()
        await self.send(feed(1))
        await asyncio.to_thread(self.engine.entered.acquire)
        return self

    async def send(self, inputs, **how):
        """Submit a request; after this it waits in the queue."""
        task = asyncio.create_task(self.model.infer(inputs, **how))
        self.tasks.append(task)
        await asyncio.sleep(0)  # lets the task run up to its first wait, which is for the result
        return task

    async def finish(self):
        self.engine.gate.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)

    async def __aexit__(self, *_):
        self.engine.gate.set()
        await self.model.batcher.stop()


def test_an_idle_engine_takes_a_request_at_once_and_what_gathered_goes_together():
    async def main():
        async with Held(max_batch=8) as held:
            for start in range(5):
                await held.send(feed(1, start))
            results = await held.finish()
            assert held.engine.rows == [1, 5]
            for start, result in zip([0, *range(5)], results, strict=True):
                np.testing.assert_array_equal(result["y"], feed(1, start)["x"] * 2)
                np.testing.assert_array_equal(result["z"], TABLE[feed(1, start)["k"]])
            assert held.model.stats.batch.count == 2
            assert held.model.stats.batch.sum == 6

    run(main())


def test_a_batch_has_at_most_max_batch_rows_and_requests_stay_whole():
    async def main():
        async with Held(max_batch=4) as held:
            for rows in (3, 2, 1, 4, 1):
                await held.send(feed(rows))
            results = await held.finish()
            # 3 takes the 1 behind it, because the 2 does not fit; then 2 and 1; then 4
            assert held.engine.rows == [1, 4, 3, 4]
            assert [len(result["y"]) for result in results] == [1, 3, 2, 1, 4, 1]

    run(main())


def test_max_batch_0_sends_every_request_alone():
    async def main():
        async with Held(max_batch=0) as held:
            for rows in (1, 20, 1):
                await held.send(feed(rows))
            await held.finish()
            assert held.engine.rows == [1, 1, 20, 1]

    run(main())


def test_a_request_larger_than_a_batch_is_refused():
    async def main():
        async with Held(max_batch=4) as held:
            with pytest.raises(BadRequestError, match="5 rows in one request; at most 4"):
                await held.model.infer(feed(5))

    run(main())


def test_inputs_with_different_rows_are_refused():
    async def main():
        async with Held() as held:
            with pytest.raises(BadRequestError, match="same number of rows"):
                await held.model.infer({"x": feed(2)["x"], "k": feed(1)["k"]})

    run(main())


def test_a_model_with_a_fixed_first_axis_is_never_batched():
    async def main():
        held = Held(max_batch=8)
        held.engine.inputs = (TensorSpec("x", np.dtype(np.float32), (1, 4)), held.engine.inputs[1])
        async with held:
            for _ in range(3):
                await held.send(feed(1))
            await held.finish()
            assert held.engine.rows == [1, 1, 1, 1]

    run(main())


def test_one_bad_request_fails_alone():
    async def main():
        async with Held(max_batch=8) as held:
            await held.send(feed(1))
            await held.send({**feed(1), "k": np.array([7])})
            await held.send(feed(1))
            results = await held.finish()
            assert [isinstance(result, EngineError) for result in results] == [False, False, True, False]
            assert held.engine.rows == [1, 3, 1, 1, 1]

    run(main())


def test_a_model_that_mixes_rows_is_found_out_and_no_longer_batched():
    class Sums(HeldEngine):
        def infer(self, inputs):
            return {name: array.sum(axis=0, keepdims=True) for name, array in super().infer(inputs).items()}

    async def main():
        held = Held(max_batch=8)
        held.engine = Sums()
        held.engine.gate.clear()
        async with held:
            for _ in range(3):
                await held.send(feed(2))
            results = await held.finish()
            assert held.engine.rows == [1, 6, 2, 2, 2]
            np.testing.assert_array_equal(results[1]["y"], 2 * feed(2)["x"].sum(axis=0, keepdims=True))
            for _ in range(2):
                await held.send(feed(2))
            await held.finish()
            assert held.engine.rows[5:] == [2, 2]

    run(main())


def test_a_full_queue_refuses_and_a_free_place_is_taken_again():
    async def main():
        async with Held(max_batch=1, queue=2) as held:
            await held.send(feed(1))
            await held.send(feed(1))
            assert held.model.admission.waiting == 2
            with pytest.raises(OverloadedError, match="2 requests are waiting"):
                await held.model.infer(feed(1))
            await held.finish()
            assert held.model.admission.waiting == 0
            assert (await held.model.infer(feed(1)))["y"].shape == (1, 4)

    run(main())


def test_urgent_requests_go_first_and_equals_keep_their_order():
    async def main():
        async with Held(max_batch=0) as held:
            for start, priority in ((1, 0), (2, 2), (3, 1), (4, 2), (5, 0)):
                await held.send(feed(1, start), priority=priority)
            await held.finish()
            assert [int(call["x"][0, 0]) for call in held.engine.calls] == [0, 3, 2, 4, 1, 5]

    run(main())


def test_a_deadline_is_kept_while_the_engine_stands_still_and_the_work_is_dropped():
    async def main():
        async with Held() as held:
            with pytest.raises(DeadlineError, match=r"time-out of 0\.01 s"):
                await held.model.infer(feed(1, 9), timeout_seconds=0.01)
            assert not held.engine.gate.is_set()
            await held.send(feed(1))
            await held.finish()
            assert held.engine.rows == [1, 1]

    run(main())


def test_what_a_client_gave_up_is_not_computed():
    async def main():
        async with Held() as held:
            given_up = await held.send(feed(3))
            given_up.cancel()
            await held.send(feed(1))
            await held.finish()
            assert held.engine.rows == [1, 1]

    run(main())


def test_one_thread_owns_the_engine():
    async def main():
        async with Held(max_batch=0) as held:
            for _ in range(5):
                await held.send(feed(1))
            await held.finish()
            assert held.engine.threads == {"model m 1"}

    run(main())


def test_stopping_works_off_what_waits_and_closes_the_engine_last():
    async def main():
        async with Held() as held:
            for _ in range(3):
                await held.send(feed(1))
            stop = asyncio.create_task(held.model.batcher.stop())
            await asyncio.sleep(0)
            assert not held.engine.closed.is_set()
            results = await held.finish()
            await stop
            assert [result["y"].shape for result in results] == [(1, 4)] * 4
            assert held.engine.closed.is_set()

    run(main())


@pytest.mark.parametrize("surprise", [EngineError("no memory"), ZeroDivisionError("oops")])
def test_an_engine_that_does_not_warm_up_is_an_engine_error_and_closed(surprise):
    async def main():
        engine = HeldEngine()
        engine.warm_up_error = surprise
        model = ServedModel(ModelConfig(name="m"), "1", engine)
        with pytest.raises(EngineError, match=str(surprise)):
            await model.batcher.start()
        assert await asyncio.to_thread(engine.closed.wait, SECONDS)

    run(main())


def test_an_engine_that_surprises_fails_its_request_only():
    class Surprises(HeldEngine):
        def infer(self, inputs):
            if (inputs["x"] == 0).all():
                raise ZeroDivisionError
            return super().infer(inputs)

    async def main():
        engine = Surprises()
        model = ServedModel(ModelConfig(name="m"), "1", engine)
        await model.batcher.start()
        with pytest.raises(EngineError, match="ZeroDivisionError"):
            await model.infer({"x": np.zeros((1, 4), np.float32), "k": np.array([0])})
        assert (await model.infer(feed(2)))["y"].shape == (2, 4)
        await model.batcher.stop()

    run(main())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 2)), min_size=1, max_size=12), st.integers(0, 10))
def test_batches_take_everything_once_first_come_first(requests, most):
    async def main():
        future = asyncio.get_running_loop().create_future()
        waiting = [
            Ticket({"x": np.zeros((rows, width), np.float32)}, rows, 0, future) for rows, width in requests
        ]
        everything, taken = list(waiting), []
        while waiting:
            first = waiting[0]
            batch = take_batch(waiting, most)
            assert batch[0] is first
            assert len(batch) == 1 or sum(ticket.rows for ticket in batch) <= most
            assert len({ticket.mould for ticket in batch}) == 1
            order = [everything.index(ticket) for ticket in batch]
            assert order == sorted(order)
            taken += batch
        assert sorted(map(id, taken)) == sorted(map(id, everything))

    run(main())
