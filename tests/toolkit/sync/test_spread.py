"""A path is kept as often as its route says, where there is room; a copy that is lost is made again elsewhere."""

from __future__ import annotations

import msgspec
import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote
from tests.toolkit.sync.trees import make_tree, photograph, storage, task_of
from toolkit.sync.run import run_task
from toolkit.sync.spread import places_for
from toolkit.sync.task import Storage, decode_task, encode_task

NAMES = ("b", "c", "d")


@pytest.fixture
def task(tmp_path):
    """One copy wanted besides the source, three storages to choose from."""
    make_tree(tmp_path / "edge/frames", files=10)
    return task_of(tmp_path, *(storage(tmp_path / name) for name in NAMES), copies=1, spread=True)


def holders(tmp_path):
    return [name for name in NAMES if (tmp_path / name / "frames").is_dir()]


def test_only_as_many_as_are_wanted_are_filled_and_they_stay_the_same(tmp_path, task):
    first = run_task(task)
    assert (first.exit_code, len(first.targets), first.wanted) == (0, 1, 1)
    (kept,) = holders(tmp_path)
    assert run_task(task).bytes_moved == 0
    assert holders(tmp_path) == [kept]
    assert photograph(tmp_path / kept / "frames") == photograph(tmp_path / "edge/frames")


def test_a_copy_that_is_lost_is_made_elsewhere_and_one_that_comes_back_is_kept(tmp_path, task):
    run_task(task)
    (kept,) = holders(tmp_path)
    (tmp_path / kept).rename(tmp_path / "away")
    assert run_task(task).exit_code == 0
    (new,) = holders(tmp_path)
    assert new != kept
    (tmp_path / "away").rename(tmp_path / kept)
    (tmp_path / "edge/frames/more").write_bytes(b"more")
    assert run_task(task).exit_code == 0
    assert sorted(holders(tmp_path)) == sorted({kept, new})


def test_a_storage_that_has_a_copy_is_taken_before_others(tmp_path, task):
    run_task(msgspec.structs.replace(task, targets=task.targets[1:2]))
    assert places_for(task) == task.targets[1:2]
    run_task(task)
    assert holders(tmp_path) == ["c"]


def test_the_emptiest_is_taken_first(task):
    packs = Storage(tier="warm", url="memory://x", layout="packs")  # nobody knows its room
    mixed = msgspec.structs.replace(task, targets=(packs, task.targets[1]))
    assert places_for(mixed, lambda _: MemoryRemote()) == (task.targets[1],)


def test_too_few_that_answer_is_an_error_of_the_run(tmp_path, task):
    for name in ("c", "d"):
        (tmp_path / name).rmdir()
    result = run_task(msgspec.structs.replace(task, copies=2))
    assert result.exit_code == 5
    assert sum(not target.error for target in result.targets) == 1


def test_a_remote_that_is_cut_counts_as_lost(task):
    line = BreakingRemote(MemoryRemote(), breaks_at=10**9)
    line.broken = True
    packs = Storage(tier="warm", url="memory://x", layout="packs")
    mixed = msgspec.structs.replace(task, targets=(packs, *task.targets[:2]), copies=2)
    assert places_for(mixed, lambda _: line) == task.targets[:2]


def test_a_task_that_leaves_the_choice_travels(task):
    assert decode_task(encode_task(task)) == task
    assert task.format == 2
    assert places_for(msgspec.structs.replace(task, spread=False)) == task.targets
