"""The cache before real versions: inferences are counted, failures and goers harm nobody, restarts keep answers."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import time

import msgspec
import numpy as np
import pytest

from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.cache.caches import BURST, Caches
from edge_runtime.serving.cache.keep import Clocks
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import DeadlineError
from tests.contracts.engine import HeldEngine, feed
from toolkit.errors import EngineError
from toolkit.wire.device_config import CacheConfig, ModelConfig
from toolkit.wire.document import encode_json
from toolkit.wire.forget import Forget

DIGEST, OTHER = "a" * 64, "b" * 64
CACHED = ModelConfig(name="m", cache=CacheConfig())
MARKS = [f"{number:016x}" for number in range(1, 500)]


@contextlib.asynccontextmanager
async def served(folder, config=CACHED, *, artifact=DIGEST, engine=None, **more):
    """A table with one version behind its cache."""
    caches = Caches([config], folder, **more)
    table = ModelTable([config], caches.dress(lambda model: model))
    engine = engine or HeldEngine()
    await table.swap("m", "1", engine, artifact)
    try:
        yield table, engine, caches
    finally:
        engine.gate.set()
        await table.close()
        await caches.close()


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


def question(start=0, label="", **more):
    return Ask("m", feed(1, start), parameters={"cache_id": label} if label else {}, **more)


async def until(condition):
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def test_equal_questions_in_flight_are_one_inference(tmp_path):
    async def main():
        async with served(tmp_path) as (table, engine, caches):
            engine.gate.clear()
            asking = [asyncio.ensure_future(table.answer(question())) for _ in range(50)]
            other = asyncio.ensure_future(table.answer(question(start=1)))
            keep = caches.keeps["m"]
            await until(lambda: keep.figures.misses == 2)
            engine.gate.set()
            answers = await asyncio.gather(*asking, other)
            assert sum(engine.rows) == 2
            assert [answer.cached for answer in answers].count(False) == 2
            assert (keep.figures.shared, keep.figures.misses) == (49, 2)
            np.testing.assert_array_equal(answers[0].outputs["y"], feed(1)["x"] * 2)
            again = await table.answer(question())
            assert (again.cached, again.version, sum(engine.rows)) == (True, "1", 2)
            (stats,) = table.stats()
            assert (stats.cache_hit.count, stats.cache_miss.count) == (50, 2)

    run(main())


def test_a_leader_that_goes_hands_over_to_the_next(tmp_path):
    async def main():
        async with served(tmp_path) as (table, engine, caches):
            engine.gate.clear()
            leader = asyncio.ensure_future(table.answer(question()))
            await until(lambda: caches.keeps["m"].figures.misses == 1)
            followers = [asyncio.ensure_future(table.answer(question())) for _ in range(3)]
            await asyncio.sleep(0)
            leader.cancel()
            await until(lambda: caches.keeps["m"].figures.misses == 2)
            engine.gate.set()
            answers = await asyncio.gather(*followers)
            assert [answer.cached for answer in answers].count(False) == 1
            assert len(engine.rows) <= 2
            with pytest.raises(asyncio.CancelledError):
                await leader

    run(main())


def test_each_follower_has_its_own_deadline_and_an_urgent_one_does_not_wait_behind_others(tmp_path):
    async def main():
        async with served(tmp_path) as (table, engine, caches):
            engine.gate.clear()
            figures = caches.keeps["m"].figures
            leader = asyncio.ensure_future(table.answer(question(priority=Priority.BATCH)))
            await until(lambda: figures.misses == 1)
            patient = asyncio.ensure_future(table.answer(question(priority=Priority.BATCH)))
            hasty = question(priority=Priority.BATCH, deadline=time.perf_counter() + 0.01)
            with pytest.raises(DeadlineError):
                await table.answer(hasty)
            urgent = asyncio.ensure_future(table.answer(question(priority=Priority.EMERGENCY)))
            await until(lambda: figures.misses == 2)
            engine.gate.set()
            assert all(isinstance(each, Answer) for each in await asyncio.gather(leader, patient, urgent))
            assert figures.shared == 1

    run(main())


def test_what_fails_is_not_tried_again_for_a_while_but_another_question_is(tmp_path):
    async def main():
        still = Clocks(steady=lambda: 1000.0)  # "a while" is 10 s
        async with served(tmp_path, clocks=still) as (table, engine, caches):
            bad = Ask("m", {**feed(1), "k": np.array([7])})
            for _ in range(3):
                with pytest.raises(EngineError):
                    await table.answer(bad)
            assert (len(engine.rows), caches.keeps["m"].figures.refused) == (1, 2)
            await table.answer(question())
            with pytest.raises(EngineError):
                await table.answer(Ask("m", {**feed(1), "k": np.array([7])}, parameters={"cache": False}))
            assert len(engine.rows) == 3

    run(main())


def test_a_restart_finds_its_answers_and_another_version_none(tmp_path):
    async def main():
        async with served(tmp_path) as (table, engine, caches):
            first = await table.answer(question(label="study-1"))
            await table.answer(question(start=1))
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
        assert not any("study" in path.name for path in files)
        async with served(tmp_path) as (table, engine, caches):
            keep = caches.keeps["m"]
            await until(lambda: keep.figures.foreseen == 2)  # the hottest come by themselves
            again = await table.answer(question(label="study-1"))
            assert again.cached
            assert not engine.rows
            np.testing.assert_array_equal(again.outputs["z"], first.outputs["z"])
        async with served(tmp_path, artifact=OTHER) as (table, engine, caches):
            assert not (await table.answer(question(label="study-1"))).cached
        assert not (tmp_path / "m" / DIGEST).exists()

    run(main())


def test_two_versions_may_serve_and_the_third_drops_the_first(tmp_path):
    async def main():
        async with served(tmp_path) as (table, _, caches):
            keep = caches.keeps["m"]
            await table.answer(question())
            await table.swap("m", "2", HeldEngine(), OTHER)
            second = await table.answer(question())
            assert (second.version, second.cached) == ("2", False)
            await table.swap("m", "1", HeldEngine(), DIGEST)
            back = await table.answer(question())
            assert (back.version, back.cached) == ("1", True)
            await table.swap("m", "3", HeldEngine(), "c" * 64)
            await keep.disk.settle()
            assert {path.name for path in (tmp_path / "m").iterdir() if path.is_dir()} <= {DIGEST, "c" * 64}
            await table.swap("m", "2", HeldEngine(), OTHER)
            assert not (await table.answer(question())).cached

    run(main())


def test_on_disk_alone_it_waits_for_the_thread_and_a_torn_file_is_a_miss(tmp_path):
    config = msgspec.structs.replace(CACHED, cache=CacheConfig(memory_bytes=0))

    async def main():
        async with served(tmp_path, config) as (table, engine, caches):
            keep = caches.keeps["m"]
            await table.answer(question())
            await keep.disk.settle()
            assert (await table.answer(question())).cached
            assert (keep.figures.disk_hits, len(engine.rows)) == (1, 1)
            (file,) = (tmp_path / "m" / DIGEST).iterdir()
            file.write_bytes(file.read_bytes()[:-40])
            assert not (await table.answer(question())).cached
            await keep.disk.settle()
            assert (await table.answer(question())).cached

    run(main())


def test_the_disk_stays_within_its_bytes_and_the_oldest_go(tmp_path):
    config = msgspec.structs.replace(CACHED, cache=CacheConfig(memory_bytes=0, disk_bytes=10 * 4096))

    async def main():
        async with served(tmp_path, config) as (table, _, caches):
            disk = caches.keeps["m"].disk
            for start in range(40):
                await table.answer(question(start))
                await disk.settle()
                assert len(list((tmp_path / "m" / DIGEST).iterdir())) <= 10
            assert disk.bytes <= 10 * 4096
            assert disk.evictions >= 30
            assert (await table.answer(question(39))).cached
            assert not (await table.answer(question(0))).cached

    run(main())


def test_files_at_rest_are_sealed_with_the_devices_key(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    sealed = msgspec.structs.replace(CACHED, cache=CacheConfig(memory_bytes=0, key_file=str(key)))
    folder = tmp_path / "answers"

    async def main():
        async with served(folder, sealed) as (table, _, _):
            await table.answer(question(label="study-1"))
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) == 2
        assert not any(b"study" in path.read_bytes() or b"tkA1" in path.read_bytes() for path in files)
        async with served(folder, sealed) as (table, _, _):
            assert (await table.answer(question(label="study-1"))).cached
        key.write_bytes(bytes(32))
        async with served(folder, sealed) as (table, _, _):
            assert not (await table.answer(question(label="study-1"))).cached

    run(main())


# ---------------------------------------------------------------- forgetting
def message(number, after=None, **what):
    after = MARKS[number - 1] if after is None and number else after or ""
    return encode_json(Forget(mark=MARKS[number], after=after, **what))


async def cached(table, *labels):
    return [(await table.answer(question(label=label))).cached for label in labels]


LABELS = ("ct-1", "ct-2", "us-1", "")


def test_labels_and_patterns_are_forgotten_and_nothing_else(tmp_path):
    async def main():
        async with served(tmp_path) as (table, _, caches):
            await caches.heard("m", message(0))
            await cached(table, *LABELS)
            await caches.heard("m", message(1, labels=("ct-1",)))
            assert await cached(table, *LABELS) == [False, True, True, True]
            await caches.heard("m", message(2, pattern="ct-*"))
            assert await cached(table, *LABELS) == [False, False, True, True]
            await caches.heard("m", message(2, pattern="ct-*"))  # the broker's copy, at a reconnection
            assert await cached(table, *LABELS) == [True] * 4
            await caches.heard("other", message(3))
            await caches.heard("m", b"{}")
            await caches.heard("m", b"")
            assert await cached(table, *LABELS) == [True] * 4
            await caches.heard("m", message(3))
            assert await cached(table, *LABELS) == [False] * 4

    run(main())


def test_who_missed_a_message_forgets_everything_also_from_the_disk(tmp_path):
    config = msgspec.structs.replace(CACHED, cache=CacheConfig(memory_bytes=0))

    async def main():
        async with served(tmp_path, config) as (table, _, caches):
            await caches.heard("m", message(0))
            await cached(table, *LABELS)
            await caches.heard("m", message(1, labels=("ct-1",)))
            assert await cached(table, *LABELS) == [False, True, True, True]
        async with served(tmp_path, config) as (table, _, caches):
            await caches.heard("m", message(1, labels=("ct-1",)))  # known, though it was another process
            assert await cached(table, *LABELS) == [True] * 4
        async with served(tmp_path, config) as (table, _, caches):
            await caches.heard("m", message(3, labels=("ct-1",)))  # number 2 was missed
            assert await cached(table, *LABELS) == [False] * 4

    run(main())


def test_a_flood_turns_the_cache_off_until_it_is_over(tmp_path):
    async def main():
        over = asyncio.Event()
        still = Clocks(steady=lambda: 1000.0)
        async with served(tmp_path, clocks=still, rest=over.wait) as (table, _, caches):
            keep = caches.keeps["m"]
            await cached(table, *LABELS)
            for number in range(BURST + 50):
                await caches.heard("m", message(number, labels=("nobody",)))
            assert keep.figures.forgotten <= BURST + 1
            assert keep.paused
            assert await cached(table, "ct-1", "ct-1") == [False, False]
            over.set()
            await until(lambda: not keep.paused)
            assert await cached(table, "ct-1", "ct-1") == [False, True]
            await caches.heard("m", message(BURST + 49, labels=("nobody",)))  # known
            assert await cached(table, "ct-1") == [True]

    run(main())


def test_without_the_id_of_an_artifact_nothing_is_kept(tmp_path):
    async def main():
        async with served(tmp_path, artifact="") as (table, engine, _):
            await table.answer(question())
            await table.answer(question())
            assert len(engine.rows) == 2

    run(main())
