"""Stages around a model that serves: their own threads, few places, deadlines, and nobody hurt by another's bytes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping

import numpy as np
import pytest

from edge_runtime.engine.base import Array, TensorSpec
from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import BadRequestError, DeadlineError, OverloadedError
from edge_runtime.serving.stages.staged import Staged, StageRoom
from tests.contracts.engine import HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.stages import Stage, Stages

M = ModelConfig(name="m")
LABELLED = Stages(post=(Stage(name="softmax", of=("y",), into=("shares",), keep=True),))


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


class HeldChain:
    """Stages of which those before the engine can be held; they take a number and add one to it."""

    inputs = (TensorSpec("n", np.dtype(np.int64), (None,)),)
    changes_inputs = changes_outputs = True

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)
        self.threads: set[str] = set()

    def before(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.threads.add(threading.current_thread().name)
        self.entered.release()
        assert self.gate.wait(60), "nobody opened the gate"
        if (inputs["n"] < 0).any():
            raise BadRequestError("stage add: below 0")
        return {"n": inputs["n"] + 1}

    def after(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        self.threads.add(threading.current_thread().name)
        return {"n": outputs["n"] * 10}


class Doubles:
    """A version that doubles."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []

    async def answer(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        return Answer(ask.model, "1", {"n": ask.inputs["n"] * 2})


def ask(number: int, **more: object) -> Ask:
    return Ask("m", {"n": np.array([number])}, **more)


async def entered(chain: HeldChain, times: int = 1) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(chain.entered.acquire, timeout=60)


def test_an_answer_goes_through_all_of_them_off_the_loop():
    async def main() -> None:
        chain, inner, room = HeldChain(), Doubles(), StageRoom(threads=1)
        chain.gate.set()
        sent = ask(3, wanted=("n",))
        took: list[float] = []
        answer = await Staged(inner, chain, room, note=took.append).answer(sent)
        assert len(took) == 2
        assert min(took) > 0
        assert answer.outputs["n"].tolist() == [80]
        assert inner.asked[0].wanted == ()
        assert sent.inputs["n"].tolist() == [3]
        assert chain.threads == {"stages_0"}
        room.close()

    run(main())


def test_the_loop_goes_on_while_a_stage_works_and_the_others_get_their_answers():
    async def main() -> None:
        chain, room = HeldChain(), StageRoom(threads=2)
        staged = Staged(Doubles(), chain, room)
        good, bad = (asyncio.create_task(staged.answer(ask(each))) for each in (1, -1))
        await entered(chain, 2)  # on this loop, which is free
        chain.gate.set()
        with pytest.raises(BadRequestError, match="below 0"):
            await bad
        assert (await good).outputs["n"].tolist() == [40]
        room.close()

    run(main())


def test_what_does_not_look_like_an_input_is_refused_before_a_thread_is_asked():
    async def main() -> None:
        chain, room = HeldChain(), StageRoom(threads=1)
        staged = Staged(Doubles(), chain, room)
        with pytest.raises(BadRequestError, match=r"model m: .*expected n int64\[\?\]"):
            await staged.answer(Ask("m", {"n": np.zeros((1, 2))}))
        assert not chain.threads
        room.close()

    run(main())


def test_a_stage_that_hangs_keeps_its_place_and_its_client_hears_at_the_deadline():
    async def main() -> None:
        chain, room = HeldChain(), StageRoom(threads=1, places=3)
        staged = Staged(Doubles(), chain, room)
        for seconds in (0.1, 1, 10, 50):  # a busy machine may need longer until the stage has begun
            hanging = asyncio.create_task(staged.answer(ask(1, deadline=time.perf_counter() + seconds)))
            while not (chain.threads or hanging.done()):  # noqa: ASYNC110 -- of another thread
                await asyncio.sleep(0.001)
            if chain.threads:
                break
        assert chain.threads, "a stage has begun"
        waiting = asyncio.create_task(staged.answer(ask(2)))
        await asyncio.sleep(0)
        with pytest.raises(
            OverloadedError, match=r"2 requests are in the stages .* no place for priority batch"
        ):
            await staged.answer(ask(3, priority=Priority.BATCH))
        with pytest.raises(DeadlineError):
            await hanging
        assert room.taken == 2  # the thread hangs on
        chain.gate.set()
        assert (await waiting).outputs["n"].tolist() == [60]
        assert room.taken == 0
        room.close()

    run(main())


def test_who_waits_in_vain_is_never_begun():
    async def main() -> None:
        chain, room = HeldChain(), StageRoom(threads=1)
        staged = Staged(Doubles(), chain, room, timeout_seconds=0.1)
        first = asyncio.create_task(staged.answer(ask(1, deadline=time.perf_counter() + 30)))
        await entered(chain)
        with pytest.raises(DeadlineError):  # the model's own time-out: this one named none
            await staged.answer(ask(2))
        gone = asyncio.create_task(staged.answer(ask(3)))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        chain.gate.set()
        assert (await first).outputs["n"].tolist() == [40]
        assert not chain.entered.acquire(blocking=False)
        room.close()

    run(main())


def test_who_is_more_urgent_goes_first_and_always_finds_a_place():
    async def main() -> None:
        chain, inner, room = HeldChain(), Doubles(), StageRoom(threads=1, places=4)
        staged = Staged(inner, chain, room)
        tasks = [asyncio.create_task(staged.answer(ask(0)))]
        await entered(chain)
        for number, priority in ((1, Priority.BATCH), (2, Priority.NORMAL), (3, Priority.EMERGENCY)):
            tasks.append(asyncio.create_task(staged.answer(ask(number, priority=priority))))
            await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await staged.answer(ask(9, priority=Priority.EMERGENCY))
        chain.gate.set()
        await asyncio.gather(*tasks)
        assert [int(each.inputs["n"][0]) - 1 for each in inner.asked] == [0, 3, 2, 1]
        assert room.taken == 0
        room.close()

    run(main())


def test_a_table_shows_and_serves_what_the_stages_make_of_a_version():
    async def main() -> None:
        room, engine = StageRoom(threads=1), HeldEngine()
        table = ModelTable([M], room.dress)
        room.lay("a" * 64, LABELLED, engine)
        await table.swap("m", "1", engine, "a" * 64)
        shown = table.find("m")
        assert set(shown.output_names) == {"y", "z", "shares"}
        assert shown.stages == "|softmax@1"
        answer = await table.answer(Ask("m", feed(2), wanted=("shares",)))
        np.testing.assert_allclose(answer.outputs["shares"].sum(axis=1), 1, rtol=1e-6)
        plain = HeldEngine()
        assert table.find("m").stats.staged.count == 1
        await table.swap("m", "2", plain, "b" * 64)
        assert table.find("m").stages == ""
        assert set((await table.answer(Ask("m", feed(2)))).outputs) == {"y", "z"}
        await table.close()
        room.close()

    run(main())


def test_stages_that_do_not_fit_are_told_where_they_are_laid():
    room = StageRoom(threads=1)
    wrong = Stages(post=(Stage(name="argmax", of=("nothing",)),))
    with pytest.raises(EngineError, match="nothing gives 'nothing'"):
        room.lay("a" * 64, wrong, HeldEngine())
    room.close()
