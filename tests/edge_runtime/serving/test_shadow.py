"""A new version in the shadow of the old one: it costs clients nothing, and what it says is compared to the number."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.shadow import Comparison, Shadow, judge
from edge_runtime.serving.stats import ModelStats
from tests.contracts.engine import HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import ModelConfig, ShadowConfig

M = ModelConfig(name="m")


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


class Says:
    """Answers what it is told to, and keeps the questions."""

    def __init__(self, *outputs):
        self.outputs, self.asked = list(outputs), []

    async def answer(self, ask):
        self.asked.append(ask)
        output = self.outputs.pop(0)
        if isinstance(output, Exception):
            raise output
        return Answer("m", "2", output)


def array(*rows):
    return {"y": np.array(rows, np.float32)}


def compare(*pairs):
    """Show a shadow these answers of the old version beside those of the new one; give what it found."""

    async def main():
        new = Says(*(got for _, got in pairs))
        shadow = Shadow(new, ModelStats("m", "1"), ModelStats("m", "2"), len(pairs))
        for expected, _ in pairs:
            shadow.see(Ask("m", feed(1)), Answer("m", "1", expected))
            while shadow._busy is not None:  # noqa: ASYNC110 -- what is waited for has no event
                await asyncio.sleep(0)
        return await shadow.over(20)

    return run(main())


def test_differences_are_counted_over_all_values():
    found = compare((array([1, 2, 3]), array([1, 2.5, 3])), (array([0, 0, 4]), array([3, 0, 2])))
    assert found == Comparison(
        requests=2, max_difference=3.0, mean_difference=pytest.approx(5.5 / 6), agreement=0.5
    )


@pytest.mark.parametrize(
    ("expected", "got", "worst"),
    [
        (array([math.nan, math.inf]), array([math.nan, math.inf]), 0.0),
        (array([math.nan, 1]), array([1, 1]), math.inf),
        (array([1, 1]), array([math.inf, 1]), math.inf),
        (array([1, 2]), array([1, 2, 3]), math.inf),
        (array([1, 2]), {"z": np.zeros(1)}, math.inf),
        ({"y": np.array([1, 2], np.int64)}, {"y": np.array([1, 4], np.int32)}, 2.0),
        ({"y": np.array([True])}, {"y": np.array([False])}, 1.0),
    ],
)
def test_what_is_no_number_or_has_another_shape_is_no_small_difference(expected, got, worst):
    assert compare((expected, got)).max_difference == worst


def test_a_failure_of_the_new_version_is_kept_with_its_reason():
    found = compare((array([1]), EngineError("no such row")), (array([1]), array([1])))
    assert (found.requests, found.failures, found.problem) == (1, 1, "no such row")


@pytest.mark.parametrize(
    ("found", "limits", "code"),
    [
        (Comparison(requests=5, max_difference=9.0), {}, ""),
        (Comparison(requests=5, max_difference=9.0), {"max_difference": 9.0}, ""),
        (Comparison(requests=5, max_difference=9.1), {"max_difference": 9.0}, "shadow-differs"),
        (Comparison(failures=1, problem="x"), {}, "shadow-failed"),
        (Comparison(old_seconds=1.0, new_seconds=2.0), {"max_latency_ratio": 2.0}, ""),
        (Comparison(old_seconds=1.0, new_seconds=2.1), {"max_latency_ratio": 2.0}, "shadow-slow"),
        (Comparison(old_seconds=1.0, new_seconds=2.1), {}, ""),
        (Comparison(new_seconds=2.1), {"max_latency_ratio": 2.0}, ""),
        (Comparison(), {"max_difference": 0.0, "max_latency_ratio": 0.5}, ""),
    ],
)
def test_limits_decide(found, limits, code):
    verdict, reason = judge(found, ShadowConfig(**limits))
    assert verdict == code
    assert bool(reason) == bool(code)


def test_clients_wait_for_nothing_and_see_nothing_of_a_new_version_that_hangs():
    async def main():
        table, old, new = ModelTable([M]), HeldEngine(), HeldEngine()
        await table.swap("m", "1", old)
        new.gate.clear()
        settings = ShadowConfig(requests=2, seconds=60)
        rehearsal = asyncio.create_task(table.rehearse("m", "2", new, "art-2", settings))
        while table._slots["m"].shadow is None:  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0)
        inputs = feed(2)
        for _ in range(5):
            assert (await table.answer(Ask("m", inputs, priority=Priority.EMERGENCY))).version == "1"
            inputs["x"][:] += 1  # a door uses its memory again for the next request
        await asyncio.to_thread(new.entered.acquire)
        new.gate.set()
        while table._slots["m"].shadow._busy is not None:  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.001)
        await table.answer(Ask("m", feed(1)))
        found = await rehearsal
        assert (found.requests, found.skipped, found.failures) == (2, 4, 0)
        assert found.max_difference == 0.0, "it got the first question as it was"
        np.testing.assert_array_equal(new.calls[0]["x"], feed(2)["x"])
        assert await table.promote("m", "art-2")
        assert (await table.answer(Ask("m", feed(1)))).version == "2"
        assert not await table.promote("m", "art-2")
        await table.close()

    run(main())


def test_the_new_version_is_asked_last_and_without_a_deadline():
    async def main():
        new = Says(array([1]))
        shadow = Shadow(new, ModelStats("m", "1"), ModelStats("m", "2"), 1)
        shadow.see(
            Ask("m", feed(1), version="1", priority=Priority.EMERGENCY, deadline=0.0),
            Answer("m", "1", array([1])),
        )
        assert not new.asked, "the answer goes out first"
        await shadow.over(20)
        (ask,) = new.asked
        assert (ask.priority, ask.deadline, ask.version) == (Priority.BATCH, math.inf, "")

    run(main())


def test_its_figures_are_shown(serve):
    serving = serve(M)
    serving.swap("m", "1", HeldEngine())
    assert not [name for name in serving.scrape() if name.startswith("edge_shadow")]

    async def rehearse():
        # Of two, because an engine counts a call when its answer is out: the first is counted when the second comes.
        settings = ShadowConfig(requests=2, seconds=60)
        rehearsal = asyncio.create_task(serving.table.rehearse("m", "2", HeldEngine(), "art-2", settings))
        while not rehearsal.done():
            await serving.table.answer(Ask("m", feed(1)))
            await asyncio.sleep(0.001)
        return await rehearsal

    serving.call(rehearse())
    found = serving.scrape()
    labels = '{model="m",version="2"}'
    assert found[f"edge_shadow_requests{labels}"] == 2
    assert found[f"edge_shadow_max_difference{labels}"] == 0
    assert found[f"edge_shadow_agreement_ratio{labels}"] == 1
    assert found[f"edge_shadow_latency_ratio{labels}"] > 0
