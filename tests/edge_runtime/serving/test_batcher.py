from __future__ import annotations

import asyncio
import math
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_runtime.engine.base import TensorSpec
from edge_runtime.serving.ask import Ask, Priority
from edge_runtime.serving.refusals import BadRequestError, DeadlineError, OverloadedError
from edge_runtime.serving.served import ServedModel
from tests.contracts.engine import TABLE, HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import ModelConfig

SECONDS = 100


def run(main):
    return asyncio.run(asyncio.wait_for(main, SECONDS))


async def infer(model, inputs, *, priority=Priority.NORMAL, timeout_seconds=math.inf):
    """Ask a model, and give its outputs."""
    deadline = time.perf_counter() + timeout_seconds
    return (await model.answer(Ask("m", inputs, priority=priority, deadline=deadline))).outputs


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
        task = asyncio.create_task(infer(self.model, inputs, **how))
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
                await infer(held.model, feed(5))

    run(main())


def test_inputs_with_different_rows_are_refused():
    async def main():
        async with Held() as held:
            with pytest.raises(BadRequestError, match="same number of rows"):
                await infer(held.model, {"x": feed(2)["x"], "k": feed(1)["k"]})

    run(main())


ARRAY = st.builds(
    np.zeros,
    st.lists(st.sampled_from((0, 1, 2, 3, 4, 9)), max_size=3),
    st.sampled_from((np.float32, np.int64)),
)


@given(st.dictionaries(st.sampled_from(("x", "k", "q")), ARRAY), st.integers(0, 4))
@example(feed(2), 4)
@example(feed(5), 4)
@example({**feed(2), "k": feed(3)["k"]}, 4)
@example({**feed(2), "k": feed(2)["x"]}, 4)
@example({**feed(2), "q": feed(2)["x"]}, 4)
@example({"x": feed(2)["x"]}, 4)
@example({**feed(2), "k": np.array(1)}, 4)
def test_the_quick_look_at_inputs_takes_nothing_that_the_thorough_one_refuses(inputs, max_batch):
    async def main():
        model = ServedModel(ModelConfig(name="m", max_batch=max_batch), "1", HeldEngine())
        try:
            model._check(inputs)
        except BadRequestError:
            assert model._plain_rows(inputs) == 0
        else:
            assert model._plain_rows(inputs) == len(inputs["x"])

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
                await infer(held.model, feed(1))
            await held.finish()
            assert held.model.admission.waiting == 0
            assert (await infer(held.model, feed(1)))["y"].shape == (1, 4)

    run(main())


def test_urgent_requests_go_first_and_equals_keep_their_order():
    async def main():
        async with Held(max_batch=0) as held:
            for start, priority in ((1, 3), (2, 2), (3, 1), (4, 2), (5, 3)):
                await held.send(feed(1, start), priority=priority)
            await held.finish()
            assert [int(call["x"][0, 0]) for call in held.engine.calls] == [0, 3, 2, 4, 1, 5]

    run(main())


def test_a_deadline_is_kept_while_the_engine_stands_still_and_the_work_is_dropped():
    async def main():
        async with Held() as held:
            with pytest.raises(DeadlineError, match="time-out"):
                await infer(held.model, feed(1, 9), timeout_seconds=0.01)
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
            await asyncio.wait([given_up])
            assert held.model.admission.waiting == 0
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
            await infer(model, {"x": np.zeros((1, 4), np.float32), "k": np.array([0])})
        assert (await infer(model, feed(2)))["y"].shape == (2, 4)
        await model.batcher.stop()

    run(main())


def test_a_full_room_sheds_the_least_urgent_for_a_more_urgent_one():
    async def main():
        async with Held(max_batch=1, queue=2) as held:
            first = await held.send(feed(1, 1), priority=Priority.BATCH)
            second = await held.send(feed(1, 2), priority=Priority.BATCH)
            await held.send(feed(1, 3), priority=Priority.EMERGENCY)
            await held.send(feed(1, 4), priority=Priority.NORMAL)
            with pytest.raises(OverloadedError):
                await infer(held.model, feed(1), priority=Priority.NORMAL)
            results = await held.finish()
            assert [isinstance(each, OverloadedError) for each in results] == [
                False,
                True,
                True,
                False,
                False,
            ]
            assert first.done()
            assert second.done()
            assert [int(call["x"][0, 0]) for call in held.engine.calls] == [0, 3, 4]
            assert held.model.stats.shed == {("displaced", "BATCH"): 2, ("full", "NORMAL"): 1}

    run(main())


def test_the_models_own_time_out_holds_for_requests_that_name_none():
    async def main():
        async with Held(timeout_seconds=0.02) as held:
            with pytest.raises(DeadlineError, match="time-out"):
                await infer(held.model, feed(1))
            patient = await held.send(feed(1), timeout_seconds=60)
            await held.finish()
            assert (await patient)["y"].shape == (1, 4)
            assert held.model.stats.shed == {("deadline", "NORMAL"): 1}

    run(main())


def test_a_deadline_holds_for_a_request_that_the_engine_is_busy_with():
    async def main():
        async with Held() as held:
            held.engine.gate.set()
            await asyncio.gather(*held.tasks)
            held.engine.gate.clear()
            for patience in (
                0.02,
                0.2,
                2,
                10,
                50,
            ):  # a busy machine may need longer to bring it to the engine
                shed = dict(held.model.stats.shed)
                with pytest.raises(DeadlineError, match="time-out"):
                    await infer(held.model, feed(1), timeout_seconds=patience)
                if held.model.stats.shed == shed:
                    break  # the thread had taken it, though it may not have come into the engine yet
            assert held.model.stats.shed == shed
            assert await asyncio.to_thread(held.engine.entered.acquire, timeout=SECONDS)
            assert len(held.engine.calls) == 2
            assert not held.engine.gate.is_set()

    run(main())


def test_a_nearer_deadline_moves_the_look_at_them_forward():
    async def main():
        async with Held() as held:
            await held.send(feed(1), timeout_seconds=1000)
            with pytest.raises(DeadlineError):
                await infer(held.model, feed(1), timeout_seconds=0.02)

    run(main())


def test_after_a_look_at_the_deadlines_comes_a_look_at_the_next():
    async def main():
        async with Held() as held:
            for late in [await held.send(feed(1), timeout_seconds=seconds) for seconds in (0.02, 0.04)]:
                with pytest.raises(DeadlineError):
                    await late

    run(main())


def test_a_request_that_comes_too_late_is_answered_and_not_computed():
    async def main():
        engine = HeldEngine()
        model = ServedModel(ModelConfig(name="m"), "1", engine)
        await model.batcher.start()
        for _ in range(10):
            with pytest.raises(DeadlineError):
                await infer(model, feed(1), timeout_seconds=-1)
        assert engine.calls == []
        assert model.stats.shed == {("deadline", "NORMAL"): 10}
        await model.batcher.stop()

    run(main())


def test_requests_of_other_shapes_wait_for_a_call_of_their_own():
    class Wide(HeldEngine):
        def __init__(self):
            super().__init__()
            self.inputs = (TensorSpec("x", np.dtype(np.float32), (None, None)), self.inputs[1])
            self.outputs = (TensorSpec("y", np.dtype(np.float32), (None, None)), self.outputs[1])

    def wide(width):
        return {"x": np.ones((1, width), np.float32), "k": np.array([0])}

    async def main():
        held = Held(max_batch=8)
        held.engine = Wide()
        held.engine.gate.clear()
        async with held:
            for width in (4, 9, 4, 9, 9):
                await held.send(wide(width))
            results = await held.finish()
            assert [call["x"].shape for call in held.engine.calls] == [(1, 4), (2, 4), (3, 9)]
            assert [result["y"].shape[1] for result in results] == [4, 4, 9, 4, 9, 9]
            assert held.model.stats.batches == {"idle": 1, "other_shape": 1, "gathered": 1}

    run(main())


def test_why_each_batch_left_is_counted():
    async def main():
        async with Held(max_batch=4) as held:
            for priority in (Priority.NORMAL, Priority.EMERGENCY, *[Priority.NORMAL] * 4):
                await held.send(feed(1), priority=priority)
            await held.finish()
            stop = asyncio.create_task(held.model.batcher.stop())
            await stop
            assert held.engine.rows == [1, 1, 4, 1]
            assert held.model.stats.batches == {"idle": 1, "urgent": 1, "full": 1, "gathered": 1}

    run(main())


def test_what_is_worked_off_at_the_end_says_so_and_what_is_repeated_too():
    async def main():
        async with Held() as held:
            await held.send(feed(1))
            await held.send({**feed(1), "k": np.array([7])})
            stop = asyncio.create_task(held.model.batcher.stop())
            await asyncio.sleep(0)
            await held.finish()
            await stop
            assert held.model.stats.batches == {"idle": 1, "repeated": 2}

    run(main())


def test_an_idle_engine_that_may_wait_for_company_waits_until_its_call_is_full():
    async def main():
        engine = HeldEngine()
        model = ServedModel(ModelConfig(name="m", max_batch=3, delay_seconds=60), "1", engine)
        await model.batcher.start()
        asks = [asyncio.create_task(infer(model, feed(1))) for _ in range(3)]
        await asyncio.gather(*asks)
        assert engine.rows == [3]
        assert model.stats.batches == {"full": 1}
        await infer(model, feed(1), priority=Priority.EMERGENCY)
        assert engine.rows == [3, 1]
        waits = asyncio.create_task(infer(model, feed(1)))
        await asyncio.sleep(0)
        await model.batcher.stop()
        assert (await waits)["y"].shape == (1, 4)
        assert (model.stats.batches["full"], model.stats.batches["stop"]) == (1, 1)

    run(main())


@pytest.mark.parametrize(("delay", "timeout", "reason"), [(0.01, 600, "delay"), (600, 90, "deadline")])
def test_the_wait_for_company_ends_with_the_delay_or_before_the_nearest_deadline(delay, timeout, reason):
    async def main():
        engine = HeldEngine()
        model = ServedModel(ModelConfig(name="m", max_batch=3, delay_seconds=delay), "1", engine)
        await model.batcher.start()
        if reason == "deadline":  # else the deadline is far off, however long this machine stands still here
            model.batcher._pace.learn(1, timeout - 0.05)
        assert (await infer(model, feed(1), timeout_seconds=timeout))["y"].shape == (1, 4)
        assert model.stats.batches == {reason: 1}
        await model.batcher.stop()

    run(main())
