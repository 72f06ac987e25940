"""An engine is alive when a call of it has ended, whoever asked; nothing else is a proof."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from edge_runtime.canary import Canaries
from edge_runtime.serving.ask import Ask
from edge_runtime.serving.models import ModelTable
from tests.contracts.engine import HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import ModelConfig

M = ModelConfig(name="m")


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


def test_no_canary_is_sent_where_clients_keep_the_engine_busy():
    async def main():
        table, engine = ModelTable([M, ModelConfig(name="unused")]), HeldEngine()
        await table.swap("m", "1", engine)
        canaries = Canaries(table)
        await canaries.sing()
        assert len(engine.calls) == 1
        assert not np.any(engine.calls[0]["x"])
        await table.answer(Ask("m", feed(1)))
        await canaries.sing()
        assert len(engine.calls) == 2
        await canaries.sing()
        assert len(engine.calls) == 3
        (stats,) = table.stats()
        assert stats.outcomes.total() == 0, "nobody asked over a door"
        await table.close()

    run(main())


def test_a_full_queue_before_an_engine_that_stands_still_is_no_proof():
    async def main():
        table, engine = ModelTable([ModelConfig(name="m", queue=1)]), HeldEngine()
        await table.swap("m", "1", engine)
        engine.gate.clear()
        asked = [asyncio.create_task(table.answer(Ask("m", feed(1))))]
        await asyncio.to_thread(engine.entered.acquire)
        asked.append(asyncio.create_task(table.answer(Ask("m", feed(1)))))
        await asyncio.sleep(0)
        singing = asyncio.create_task(Canaries(table).sing())
        done, _ = await asyncio.wait([singing], timeout=0.3)
        assert not done
        engine.gate.set()
        await singing
        for each in asked:
            await each
        await table.close()

    run(main())


def test_an_engine_that_says_why_it_cannot_does_not_hang():
    class Fussy(HeldEngine):
        def infer(self, _inputs, _out=None):
            raise EngineError("this length is none of mine")

    async def main():
        table = ModelTable([M])
        await table.swap("m", "1", Fussy())
        await Canaries(table).sing()
        await table.close()

    run(main())


def test_a_version_stays_open_from_the_moment_that_its_canary_is_sent():
    async def main():
        table, engine = ModelTable([M]), HeldEngine()
        await table.swap("m", "1", engine)
        singing = asyncio.create_task(Canaries(table).sing())
        await asyncio.sleep(0)
        assert table.idle_since("m") is None, "whoever wants it out of memory now has to wait"
        await singing
        assert table.idle_since("m") is not None
        await table.close()

    run(main())


@pytest.mark.parametrize("moment", ["asleep", "nothing"])
def test_what_is_not_in_memory_needs_no_proof(moment):
    async def main():
        table = ModelTable([M])
        if moment == "asleep":
            await table.sleep("m", "1", lambda: pytest.fail("a canary wakes nobody"))
        await Canaries(table).sing()
        await table.close()

    run(main())
