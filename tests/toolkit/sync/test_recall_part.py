"""Of a demand route somebody asks only a part back: that comes, the rest stays as it is, and pins keep it there."""

from __future__ import annotations

import pytest

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.trees import storage, task_of
from toolkit.errors import IntegrityError, SyncError, UnsafePathError
from toolkit.sync.pins import pin, pinned_paths, release
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask, check_task

PACKS = Storage(tier="cold", url="memory://cold", layout="packs")


@pytest.fixture
def cold(tmp_path):
    """Packs that hold three studies of two patients."""
    remote = MemoryRemote()
    for name in ("p1/s1/a.dcm", "p1/s2/b.dcm", "p2/s1/c.dcm"):
        file = tmp_path / "edge/studies" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode() * 100)
    run_task(task_of(tmp_path, PACKS, route="archive", path="studies"), remotes=lambda _: remote)
    return remote


def recall(tmp_path, remote, below, **more):
    warm = storage(tmp_path / "warm")
    task = task_of(tmp_path, warm, route="recall", path="studies", source=PACKS, below=below, **more)
    return task, run_task(task, remotes=lambda _: remote)


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.dcm") if ".tiers" not in path.parts)


def test_only_what_is_asked_comes_and_the_next_one_takes_nothing_away(tmp_path, cold):
    _, first = recall(tmp_path, cold, "p1/s1")
    assert first.exit_code == 0
    assert files(tmp_path / "warm") == ["studies/p1/s1/a.dcm"]
    recall(tmp_path, cold, "p2")
    assert files(tmp_path / "warm") == ["studies/p1/s1/a.dcm", "studies/p2/s1/c.dcm"]
    recall(tmp_path, cold, "p1/s2/b.dcm")
    assert len(files(tmp_path / "warm")) == 3


def test_what_is_not_there_is_said(tmp_path, cold):
    with pytest.raises(SyncError, match="holds nothing at 'studies/p9'") as caught:
        recall(tmp_path, cold, "p9")
    assert caught.value.hint == "tiers sync where studies"
    with pytest.raises(SyncError):
        recall(tmp_path, cold, "p")  # a path is no prefix of names


@pytest.mark.parametrize("below", ["../p1", "/p1", "p1/../../x", "p1//s1"])
def test_a_part_cannot_leave_the_path(tmp_path, cold, below):
    with pytest.raises(UnsafePathError):
        recall(tmp_path, cold, below)


def test_a_part_may_not_empty_its_source(tmp_path):
    task = task_of(tmp_path, storage(tmp_path / "warm"), below="p1", then="remove_source")
    with pytest.raises(IntegrityError, match="empties its source"):
        check_task(task)


def archive(tmp_path, remote) -> int:
    source = storage(tmp_path / "warm")
    task = SyncTask(route="back", source=source, targets=(PACKS,), path="studies", then="remove_source")
    return run_task(task, remotes=lambda _: remote).removed


def test_what_somebody_pinned_is_archived_but_not_taken_from_the_source(tmp_path, cold):
    task, _ = recall(tmp_path, cold, "p1")
    warm = task.targets[0]
    pin(task, warm, "anna", note="second opinion")
    assert pinned_paths(warm, "studies") == {b"p1/s1/a.dcm", b"p1/s2/b.dcm", b"p1", b"p1/s1", b"p1/s2"}
    assert archive(tmp_path, cold) == 0
    assert len(files(tmp_path / "warm")) == 2
    assert release(task, warm, "anna")
    assert archive(tmp_path, cold) == 2
    assert files(tmp_path / "warm") == []


def test_a_pin_whose_time_is_over_holds_nothing(tmp_path, cold):
    task, _ = recall(tmp_path, cold, "p1")
    pin(task, task.targets[0], "anna", until_ms=1000)
    assert pinned_paths(task.targets[0], "studies", now_ms=999)
    assert not pinned_paths(task.targets[0], "studies", now_ms=1000)
    assert archive(tmp_path, cold) == 2
