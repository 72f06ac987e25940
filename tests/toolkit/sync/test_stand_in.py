"""The first storage of a route that keeps copies is lost: a copy takes its place, and nothing of a copy is deleted."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from tests.toolkit.sync.trees import make_tree, photograph
from toolkit.errors import RemoteUnavailableError, SyncError
from toolkit.sync.run import run_task
from toolkit.sync.stand_in import stand_in_for
from toolkit.sync.task import Storage, SyncTask


def warm(folder, layout="mirror"):
    folder.mkdir(exist_ok=True)
    return Storage(tier="warm", url=folder.as_uri(), layout=layout)


def task_in(root, layouts, copies):
    a, *others = (warm(root / name, layout) for name, layout in zip("abcd", layouts, strict=False))
    return SyncTask(
        route="mirror",
        source=a,
        targets=tuple(others),
        path="studies",
        copies=copies,
        spread=copies < len(others),
    )


@pytest.fixture
def task(tmp_path):
    """Two copies in b and c besides the source a."""
    task = task_in(tmp_path, ["mirror"] * 3, 2)
    make_tree(tmp_path / "a/studies", files=10)
    (tmp_path / "a/studies/link").symlink_to("study-0")
    assert run_task(task).exit_code == 0
    return task


def lose(root, name):
    shutil.rmtree(root / name)


@pytest.mark.parametrize("layout", ["mirror", "packs"])
def test_a_new_disk_in_the_place_of_the_first_is_filled_from_a_copy(tmp_path, layout):
    task = task_in(tmp_path, ["mirror", layout], 1)
    make_tree(tmp_path / "a/studies", files=10)
    (tmp_path / "a/studies/link").symlink_to("study-0")
    run_task(task)
    before = photograph(tmp_path / "a/studies")
    lose(tmp_path, "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/lost+found").mkdir()
    plan = run_task(task, dry_run=True)
    assert (plan.targets[0].url, plan.targets[0].files_written) == (task.source.url, plan.files)
    back = run_task(task)
    assert (back.exit_code, back.targets[0].url) == (0, task.source.url)
    assert photograph(tmp_path / "a/studies") == before
    (tmp_path / "a/studies/new").write_bytes(b"new")
    after = run_task(task)
    assert (after.exit_code, after.targets[0].url, after.targets[0].deleted) == (0, task.targets[0].url, 0)
    assert after.bytes_moved < 100


def test_a_first_storage_that_is_silent_is_told_and_the_copies_are_kept_up(tmp_path, task):
    before = photograph(tmp_path / "b/studies")
    lose(tmp_path, "a")
    lose(tmp_path, "c")
    (tmp_path / "c").mkdir()
    result = run_task(task)
    (problem,) = result.problems
    assert (result.exit_code, problem.path) == (1, task.source.url)
    assert f"{task.targets[0].url} was copied instead" in problem.reason
    assert photograph(tmp_path / "c/studies") == before


def test_there_are_as_many_copies_as_before_where_there_is_room(tmp_path):
    task = task_in(tmp_path, ["mirror"] * 3, 1)
    make_tree(tmp_path / "a/studies", files=10)
    run_task(task)
    (holder,) = [name for name in "bc" if (tmp_path / name / "studies").is_dir()]
    lose(tmp_path, "a")
    run_task(task)
    other = "b" if holder == "c" else "c"
    assert photograph(tmp_path / other / "studies") == photograph(tmp_path / holder / "studies")


def test_the_copy_that_was_written_last_is_taken(tmp_path, task):
    lose(tmp_path, "b")
    (tmp_path / "a/studies/later").write_bytes(b"later")
    run_task(task)  # c alone has it
    (tmp_path / "b").mkdir()
    run_task(msgspec.structs.replace(task, targets=task.targets[:1], copies=1))
    (tmp_path / "a/studies/last").write_bytes(b"last")
    run_task(msgspec.structs.replace(task, targets=task.targets[:1], copies=1))
    lose(tmp_path, "a")
    (tmp_path / "a").mkdir()
    assert stand_in_for(task).task.source == task.targets[0]
    run_task(task)
    assert (tmp_path / "a/studies/last").read_bytes() == b"last"


def test_what_somebody_deleted_does_not_come_back(tmp_path, task):
    shutil.rmtree(tmp_path / "a/studies")
    with pytest.raises(SyncError):
        run_task(task)
    assert not (tmp_path / "a/studies").exists()
    assert (tmp_path / "b/studies/study-0").is_dir()


def test_without_a_copy_or_to_another_tier_the_run_says_what_is_wrong(tmp_path, task):
    lose(tmp_path, "a")
    elsewhere = msgspec.structs.replace(
        task, targets=tuple(msgspec.structs.replace(place, tier="cold") for place in task.targets)
    )
    only_one = msgspec.structs.replace(task, targets=task.targets[:1], copies=1)
    for other in (elsewhere, only_one):
        assert stand_in_for(other).task == other
        with pytest.raises(RemoteUnavailableError):
            run_task(other)
    lose(tmp_path, "b")
    lose(tmp_path, "c")
    with pytest.raises(RemoteUnavailableError):
        run_task(task)


@pytest.mark.parametrize("how", ["emptied", "some files"])
def test_a_copy_that_lost_something_gets_it_again(tmp_path, task, how):
    before = photograph(tmp_path / "b/studies")
    if how == "emptied":
        lose(tmp_path, "b")
        (tmp_path / "b").mkdir()
    else:
        for file in sorted(path for path in (tmp_path / "b/studies").rglob("*") if path.is_file())[:3]:
            file.unlink()
    assert run_task(task).exit_code == 0
    assert photograph(tmp_path / "b/studies") == before
