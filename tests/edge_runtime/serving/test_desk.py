"""The desk: who answers, by the rung of the ladder and when the model itself cannot; and what the rung goes by."""

from __future__ import annotations

import asyncio
import math
import time

import numpy as np
import pytest

from edge_runtime.engine.base import TensorSpec
from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.desk import Desk
from edge_runtime.serving.ladder import Limits, Rung
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import DeadlineError, NotReadyError, OffloadError, OverloadedError
from tests.contracts.engine import HeldEngine, feed
from tests.edge_runtime.serving.conftest import request_of
from toolkit.wire.device_config import ModelConfig

URGENT, NORMAL, BATCH = Priority
LIMITS = Limits(up_seconds=1, down_seconds=5)
INFER = "/v2/models/m/infer"


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


class Elsewhere:
    """Another machine, which answers or fails."""

    def __init__(self, fails=False):
        self.asked, self.fails = [], fails

    async def answer(self, ask):
        self.asked.append(ask)
        if self.fails:
            raise OffloadError("nobody is there")
        return Answer(ask.model, "far", {"y": ask.inputs["x"], "z": np.zeros(1, np.float32)})


class Room:
    """A desk before a table with the models m (2 places) and lite, whose engines can be held."""

    def __init__(self, elsewhere=None, heat=(None, None), load=("m", "lite"), **config):
        models = [
            ModelConfig(name="m", **{"queue": 4, "max_batch": 1, "fallback": "lite", **config}),
            ModelConfig(name="lite", max_batch=8),
        ]
        self.heat = heat
        self.table = ModelTable(models)
        others = {"m": elsewhere} if elsewhere is not None else {}
        self.desk = Desk(models, self.table, elsewhere=others, heat=lambda: self.heat, limits=LIMITS)
        self.engines = {name: HeldEngine() for name in load}
        self.tasks = []

    async def __aenter__(self):
        for name, engine in self.engines.items():
            await self.table.swap(name, f"1-{name}", engine)
        return self

    async def __aexit__(self, *_):
        for engine in self.engines.values():
            engine.gate.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.table.close()

    async def ask(self, priority=NORMAL, **how):
        return await self.desk.answer(Ask("m", feed(1), priority=priority, **how))

    async def hold(self, count, priority=NORMAL):
        """Hold the engine of m with one emergency in it and so many requests before it."""
        self.engines["m"].gate.clear()
        self.tasks.append(asyncio.create_task(self.ask(URGENT)))
        await asyncio.to_thread(self.engines["m"].entered.acquire)
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self.table.answer(Ask("m", feed(1), priority=priority))))
        await asyncio.sleep(0)

    def look(self, start, seconds):
        """Look twice a second."""
        for half in range(2 * seconds + 1):
            self.desk.look(start + half / 2)

    @property
    def rung(self):
        return self.desk.rungs["m"]


# ------------------------------------------------------------ without pressure
def test_while_nothing_presses_the_model_itself_answers():
    async def main():
        async with Room() as room:
            answer = await room.ask()
            assert (answer.model, answer.version, answer.served_by) == ("m", "1-m", "")

    run(main())


def test_the_fallback_answers_for_a_model_that_is_not_loaded():
    async def main():
        async with Room(load=("lite",)) as room:
            answer = await room.ask()
            assert (answer.model, answer.version, answer.served_by) == ("lite", "1-lite", "fallback")
            for how in ({"version": "1"}, {"parameters": {"tiers_exact": True}}):
                with pytest.raises(NotReadyError):
                    await room.ask(**how)

    run(main())


def test_the_fallback_answers_what_finds_no_place():
    async def main():
        async with Room() as room:
            await room.hold(4)
            answer = await room.ask()
            assert (answer.model, answer.served_by) == ("lite", "fallback")
            with pytest.raises(OverloadedError):
                await room.ask(parameters={"tiers_exact": True})

    run(main())


def test_a_fallback_that_takes_other_inputs_or_lacks_an_output_does_not_stand_in():
    async def main():
        async with Room() as room:
            lite = room.table.find("lite")
            await room.hold(4)
            assert (await room.ask(wanted=("y",))).served_by == "fallback"
            lite.show(lite.inputs, [spec for spec in lite.outputs if spec.name == "y"])
            assert list((await room.ask(wanted=("y",))).outputs) == ["y"]
            with pytest.raises(OverloadedError):
                await room.ask()
            lite.show([TensorSpec("x", np.dtype(np.float32), (None, 9)), lite.inputs[1]], lite.outputs)
            with pytest.raises(OverloadedError):
                await room.ask(wanted=("y",))

    run(main())


def test_another_machine_answers_for_a_model_that_is_not_loaded_after_the_fallback():
    async def main():
        far = Elsewhere()
        async with Room(far, load=("lite",)) as room:
            assert (await room.ask()).served_by == "fallback"
        async with Room(far, load=()) as room:
            answer = await room.ask()
            assert (answer.version, answer.served_by) == ("far", "offload")
            assert await room.desk.reach("m") is None
            for how in ({"forwarded": True}, {"parameters": {"tiers_local": True}}):
                with pytest.raises(NotReadyError):
                    await room.ask(**how)
        assert len(far.asked) == 1
        async with Room(Elsewhere(fails=True), load=()) as room:
            with pytest.raises(NotReadyError):
                await room.ask()

    run(main())


# ------------------------------------------------------------ by the rung
def test_a_queue_that_stays_full_moves_all_but_emergencies_to_the_fallback():
    async def main():
        async with Room(queue=8) as room:
            await room.hold(6)
            room.look(0, 1)
            assert room.rung is Rung.FALLBACK
            assert (await room.ask()).served_by == "fallback"
            assert (await room.ask(BATCH)).served_by == "fallback"
            urgent = asyncio.create_task(room.ask(URGENT))
            exact = asyncio.create_task(room.ask(deadline=time.perf_counter() + 60, version="1-m"))
            room.engines["m"].gate.set()
            assert (await urgent).model == (await exact).model == "m"
            await asyncio.gather(*room.tasks)
            room.look(2, 5)
            assert room.rung is Rung.FULL
            assert room.desk.steps == {("m", "fallback", "queue"): 1, ("m", "full", "calm"): 1}

    run(main())


def test_a_full_room_of_the_fallback_is_pressure_too():
    async def main():
        async with Room(load=("lite",)) as room:
            room.engines["lite"].gate.clear()
            for _ in range(90):
                room.tasks.append(asyncio.create_task(room.table.answer(Ask("lite", feed(1)))))
            await asyncio.sleep(0)
            room.look(0, 1)
            assert room.rung is Rung.FALLBACK

    run(main())


def test_batch_requests_are_refused_then_normal_ones_and_emergencies_never():
    async def main():
        async with Room(fallback="", heat=(98.0, None)) as room:
            room.look(0, 1)
            assert room.rung is Rung.SHED_BATCH
            with pytest.raises(OverloadedError, match="takes no batch requests") as refusal:
                await room.ask(BATCH)
            assert refusal.value.retry_seconds == 5
            assert (await room.ask(NORMAL)).model == "m"
            room.look(1, 1)
            assert room.rung is Rung.SHED_NORMAL
            with pytest.raises(OverloadedError, match="takes no normal requests"):
                await room.ask(NORMAL)
            assert (await room.ask(URGENT)).model == "m"
            shed = room.table.find("m").stats.shed
            assert shed == {("ladder", "BATCH"): 1, ("ladder", "NORMAL"): 1}
            room.heat = (85.0, False)
            room.look(3, 10)
            assert room.rung is Rung.FULL

    run(main())


def test_on_offload_another_machine_answers_and_when_it_does_not_the_fallback_does():
    async def main():
        far = Elsewhere()
        async with Room(far, heat=(None, True)) as room:
            room.look(0, 2)
            assert room.rung is Rung.OFFLOAD
            assert (await room.ask()).served_by == "offload"
            assert (await room.ask(URGENT)).served_by == ""
            assert (await room.ask(forwarded=True)).served_by == "fallback"
            assert (await room.ask(parameters={"tiers_local": True})).served_by == "fallback"
            assert len(far.asked) == 1
            far.fails = True
            assert (await room.ask()).served_by == "fallback"
            assert (await room.ask(parameters={"tiers_exact": True})).served_by == ""
            assert len(far.asked) == 3
            assert room.desk.offloaded == {("m", "ok"): 1, ("m", "failed"): 2}

    run(main())


def test_larger_batches_are_gathered_from_their_rung_on_and_no_longer_below_it():
    async def main():
        async with Room(max_batch=3, heat=(None, True)) as room:
            batcher = room.table.find("m").batcher
            room.look(0, 1)
            assert (room.rung, batcher._delay) == (Rung.FALLBACK, 0)
            room.look(1.5, 1)
            assert room.rung is Rung.LARGER
            assert batcher._delay > 0
            await room.table.swap("m", "2", HeldEngine())
            room.look(2.5, 0)
            assert room.table.find("m").batcher._delay > 0
            room.heat = (None, False)
            room.look(3, 6)
            assert room.rung is Rung.FALLBACK
            assert room.table.find("m").batcher._delay == 0

    run(main())


def test_deadlines_that_are_missed_are_pressure_and_those_of_long_ago_are_not():
    async def main():
        async with Room() as room:
            room.desk.look(0)
            await room.hold(0)
            for _ in range(3):
                with pytest.raises(DeadlineError):
                    await room.ask(deadline=time.perf_counter() + 0.01)
            room.look(0.5, 1)
            assert room.desk.steps == {("m", "fallback", "deadlines"): 1}
            room.engines["m"].gate.set()
            room.look(2, 16)
            assert room.rung is Rung.FULL

    run(main())


def test_the_desk_looks_by_itself_until_it_is_stopped():
    async def main():
        async with Room(fallback="", heat=(99.0, None)) as room:
            looked = asyncio.Event()

            def heat():
                looked.set()
                return (99.0, None)

            room.desk._heat = heat
            room.desk.start()
            await looked.wait()
            await room.desk.stop()
            await room.desk.stop()
            looked.clear()
            await asyncio.sleep(0)
            assert not looked.is_set()

    run(main())


# ------------------------------------------------------------ as clients see it
def test_clients_and_metrics_see_who_answered(serve):
    far = Elsewhere()
    serving = serve(ModelConfig(name="m", fallback="lite"), ModelConfig(name="lite"), elsewhere={"m": far})
    body = request_of(**feed(1))
    status, headers, document = serving.ask("POST", INFER, body)
    assert (status, headers["Tiers-Served-By"], document["model_version"]) == (200, "offload", "far")
    assert serving.ask("POST", INFER, body, Tiers_Forwarded="1")[0] == 503
    serving.swap("lite", "1", HeldEngine())
    status, headers, document = serving.ask("POST", INFER, body)
    assert (status, headers["Tiers-Served-By"]) == (200, "fallback")
    assert (document["model_name"], document["parameters"]) == ("lite", {"tiers_served_by": "fallback"})
    serving.swap("m", "1", HeldEngine())
    status, headers, document = serving.ask("POST", INFER, body)
    assert (status, document["model_name"]) == (200, "m")
    assert "Tiers-Served-By" not in headers
    assert "parameters" not in document
    samples = serving.scrape()
    assert samples['edge_ladder_rung{model="m"}'] == 0
    assert len(far.asked) == 1
    assert far.asked[0].deadline == math.inf
