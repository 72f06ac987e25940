from __future__ import annotations

import asyncio
import http.client
import json
import threading

import numpy as np
import pytest

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.ask import Ask
from edge_runtime.serving.models import KEPT_STATS, ModelTable
from edge_runtime.serving.refusals import NotReadyError, UnknownModelError
from tests.contracts.engine import HeldEngine, feed, scale_model
from toolkit.errors import EngineError, UsageError
from toolkit.wire.device_config import ModelConfig

M = ModelConfig(name="m")


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


class Counted:
    """An engine that tells when it is closed."""

    def __init__(self, engine):
        self._engine, self.inputs, self.outputs = engine, engine.inputs, engine.outputs
        self.warm_up, self.infer, self.about = engine.warm_up, engine.infer, engine.about
        self.any_thread = engine.any_thread
        self.closed = threading.Event()

    def close(self):
        self._engine.close()
        self.closed.set()


def test_twenty_swaps_under_load_lose_no_request(serve, tmp_path):
    serving = serve(M)
    files = {factor: scale_model(tmp_path / f"{factor}.onnx", factor) for factor in (2, 3)}
    engines = [Counted(open_engine(files[2 + number % 2])) for number in range(21)]
    serving.swap("m", "0", engines[0])
    enough, failures, answered = threading.Event(), [], []
    seen = threading.Semaphore(0)

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        x = [number, 1, 2, 3]
        tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": x}
        body = json.dumps({"inputs": [tensor]})
        while not enough.is_set():
            connection.request("POST", "/v2/models/m/infer", body)
            response = connection.getresponse()
            text = response.read()
            document = json.loads(text)
            if response.status != 200:
                failures.append(text)
                continue
            factor = 2 + int(document["model_version"]) % 2
            if document["outputs"][0]["data"] != [factor * each for each in x]:
                failures.append(text)
            answered.append(document["model_version"])
            seen.release()
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in clients:
        thread.start()
    for version in range(1, 21):
        while seen.acquire(blocking=False):  # answers of before: this thread may have stood still for many
            pass
        for _ in range(
            8
        ):  # four at most were on their way at the last swap, so the version that serves has answered
            assert seen.acquire(timeout=60)
        serving.swap("m", str(version), engines[version])
    enough.set()
    for thread in clients:
        thread.join(60)
    assert not failures
    assert set(answered) >= {str(version) for version in range(20)}
    assert all(engine.closed.wait(60) for engine in engines[:20])
    assert not engines[20].closed.is_set()
    samples = serving.scrape()
    assert not [name for name in samples if "edge_inference_requests" in name and 'outcome="ok"' not in name]


def test_a_swap_does_not_wait_for_a_slow_request_which_still_gets_its_answer():
    async def main():
        table, old = ModelTable([M]), HeldEngine()
        await table.swap("m", "1", old)
        old.gate.clear()
        slow = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await asyncio.to_thread(old.entered.acquire)
        await table.swap("m", "2", HeldEngine())
        assert table.version("m") == "2"
        assert not old.closed.is_set()
        await table.answer(Ask("m", feed(1)))
        old.gate.set()
        assert (await slow).outputs["y"].shape == (1, 4)
        assert await asyncio.to_thread(old.closed.wait, 60)
        await table.close()

    run(main())


def test_a_version_that_does_not_run_leaves_the_old_one_serving():
    async def main():
        table, bad = ModelTable([M]), HeldEngine()
        await table.swap("m", "1", HeldEngine())
        bad.warm_up_error = EngineError("no memory")
        with pytest.raises(EngineError, match="no memory"):
            await table.swap("m", "2", bad)
        assert table.version("m") == "1"
        assert (await table.answer(Ask("m", feed(1), version="1"))).outputs["y"].shape == (1, 4)
        assert await asyncio.to_thread(bad.closed.wait, 60)
        await table.close()

    run(main())


def test_a_swap_that_is_cancelled_closes_its_engine_and_changes_nothing():
    class SlowToWarm(HeldEngine):
        def warm_up(self):
            self.entered.release()
            assert self.gate.wait(60)

    async def main():
        table, slow = ModelTable([M]), SlowToWarm()
        await table.swap("m", "1", HeldEngine())
        slow.gate.clear()
        swap = asyncio.create_task(table.swap("m", "2", slow))
        await asyncio.to_thread(slow.entered.acquire)
        swap.cancel()
        with pytest.raises(asyncio.CancelledError):
            await swap
        assert table.version("m") == "1"
        slow.gate.set()
        assert await asyncio.to_thread(slow.closed.wait, 60)
        await table.close()

    run(main())


def test_names_and_versions_are_checked():
    async def main():
        table = ModelTable([M, ModelConfig(name="other")])
        assert not table.ready
        with pytest.raises(NotReadyError, match="m has no version loaded yet"):
            table.find("m")
        await table.swap("m", "1.0", HeldEngine())
        assert not table.ready
        await table.swap("other", "3", HeldEngine())
        assert table.ready
        with pytest.raises(UnknownModelError, match=r"served as 1\.0, not as '2'"):
            table.find("m", "2")
        with pytest.raises(UnknownModelError, match="here are: m, other"):
            table.find("q")
        stray = HeldEngine()
        with pytest.raises(UsageError, match="'q' is not one of this device's"):
            await table.swap("q", "1", stray)
        assert stray.closed.is_set()
        await table.withdraw("m")
        await table.withdraw("m")
        await table.withdraw("q")
        assert (table.version("m"), table.ready) == ("", False)
        await table.close()

    run(main())


def test_counts_of_old_versions_are_kept_for_a_while():
    async def main():
        table = ModelTable([M])
        for version in range(10):
            await table.swap("m", str(version), HeldEngine())
        assert [stats.version for stats in table.stats()] == [
            str(number) for number in range(10 - KEPT_STATS, 10)
        ]
        await table.close()

    run(main())


def test_closing_waits_for_the_last_request():
    async def main():
        table, engine = ModelTable([M]), HeldEngine()
        await table.swap("m", "1", engine)
        engine.gate.clear()
        last = asyncio.create_task(table.answer(Ask("m", feed(1))))
        await asyncio.to_thread(engine.entered.acquire)
        close = asyncio.create_task(table.close())
        done, _ = await asyncio.wait([close], timeout=0.05)
        assert not done
        engine.gate.set()
        await close
        np.testing.assert_array_equal((await last).outputs["y"], feed(1)["x"] * 2)
        assert engine.closed.is_set()

    run(main())
