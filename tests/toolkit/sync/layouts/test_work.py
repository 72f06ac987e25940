"""Planning only what changed does what planning everything does, and a mirror is still looked at honestly."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.toolkit.sync.trees import edit_tree, make_tree, photograph, task_of
from toolkit.sync.cache import ScanCache
from toolkit.sync.entry_log import EntryLog
from toolkit.sync.events import unheard
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.plan import MirrorPlan
from toolkit.sync.layouts.sight import Sight
from toolkit.sync.pace import Pace
from toolkit.sync.run import run_task
from toolkit.sync.scan import scan
from toolkit.sync.selection import EVERYTHING
from toolkit.sync.source import FolderTree
from toolkit.sync.target import Wish
from toolkit.wire.index import file_entry


@pytest.fixture
def source(tmp_path):
    return tmp_path / "edge/frames"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "hot/frames"


def outline(plan: MirrorPlan) -> dict[str, object]:
    """What a plan does, without the order of what has none."""
    return {
        name: sorted(entry.path for entry in getattr(plan, name))
        for name in ("drafts", "folders", "names", "links", "retouch")
    } | {
        "clear": sorted(plan.clear),
        "remove": sorted(plan.remove),
        "remove_folders": sorted(plan.remove_folders),
        "blocked": plan.blocked,
        "problems": sorted((problem.path, problem.kind) for problem in plan.problems),
    }


def disturb(root: Path, draw: random.Random) -> None:  # noqa: C901 -- one branch a thing to do
    """Do one thing to a tree that people do."""
    paths = [path for path in sorted(root.rglob("*")) if os.path.lexists(path)]
    if not paths:
        return
    path = draw.choice(paths)
    what = draw.choice(["touch", "write", "delete", "kind", "add", "mode", "link", "move"] * 5 + ["name"])
    if what == "touch" and not path.is_symlink():
        os.utime(path, ns=(1, draw.randrange(10**18)))
    elif what == "mode" and not path.is_symlink():
        path.chmod(0o700 + draw.randrange(64))
    elif what == "add":
        (path if path.is_dir() and not path.is_symlink() else path.parent).joinpath(
            f"added-{draw.randrange(10**6)}"
        ).write_bytes(draw.randbytes(draw.randrange(3000)))
    elif what == "link":
        path.parent.joinpath(f"link-{draw.randrange(10**6)}").symlink_to(draw.choice(["x", "y"]))
    elif what == "name" and path.is_file() and not path.is_symlink():
        path.parent.joinpath(f"name-{draw.randrange(10**6)}").hardlink_to(path)
    elif what == "move":
        path.rename(path.with_name(f"moved-{draw.randrange(10**6)}"))
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        if what == "kind":
            path.write_bytes(b"a file now")
    elif what == "write" and path.is_file() and not path.is_symlink():
        path.write_bytes(draw.randbytes(draw.randrange(3000)))
    else:
        path.unlink()
        if what == "kind":
            path.mkdir()
            (path / "inside").write_bytes(b"x")


@pytest.mark.parametrize("seed", [1, pytest.param(range(2, 14), marks=pytest.mark.faults)])
def test_what_changed_makes_the_plan_that_everything_makes(tmp_path, source, target, seed):
    for each in [seed] if isinstance(seed, int) else seed:
        shutil.rmtree(tmp_path / "edge", ignore_errors=True)
        shutil.rmtree(tmp_path / "hot", ignore_errors=True)
        taken = _walk_and_compare(tmp_path, source, target, random.Random(each))
        assert taken or each != 1, "the short way was taken at least once"


def _walk_and_compare(tmp_path: Path, source: Path, target: Path, draw: random.Random) -> int:
    """Give how often the short way was taken; names of one file rule it out."""
    task = task_of(tmp_path)
    make_tree(source, seed=draw.randrange(1000))
    run_task(task)
    were_parts = 0
    for _ in range(6):
        for _ in range(draw.randrange(4)):
            disturb(draw.choice([source, source, target]), draw)
        found = scan(Folder(str(tmp_path / "edge")), b"frames")
        plans = []
        for forgetful in (False, True):
            mirror = MirrorTarget(str(tmp_path / "hot"), task)
            try:
                if forgetful:
                    mirror._sight._file = None
                mirror.plan(Wish(found.index, found.left_out, max_delete=10**9))
                plans.append(outline(mirror._plan))
                were_parts += not mirror._work.is_all
            finally:
                mirror.close()
        assert plans[0] == plans[1]
        run_task(task, max_delete=10**9)
    return were_parts


def test_a_second_run_has_nothing_to_plan_and_decodes_no_part(tmp_path, source):
    task = task_of(tmp_path)
    make_tree(source)
    run_task(task)
    mirror = MirrorTarget(str(tmp_path / "hot"), task)
    try:
        mirror.begin_look()
        mirror.plan(Wish(scan(Folder(str(tmp_path / "edge")), b"frames").index))
        work = mirror._work
        assert (work.is_all, len(work.new.entries), len(work.disk)) == (False, 0, 0)
    finally:
        mirror.close()


def test_what_somebody_does_in_the_target_is_seen_and_mended(tmp_path, source, target):
    task = task_of(tmp_path)
    make_tree(source)
    run_task(task)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    files[0].write_bytes(b"changed")
    files[1].unlink()
    files[2].chmod(0o600)
    files[3].rename(files[3].with_name("elsewhere"))
    shutil.rmtree(files[-1].parent)
    assert run_task(task).targets[0].files_written > 2
    (target / files[3].parent.relative_to(target) / "elsewhere").unlink()
    run_task(task)  # the folder of what was foreign gets its time back
    assert photograph(target) == photograph(source)


def test_a_file_that_is_kept_from_before_is_missed_only_when_it_is_wanted_again(tmp_path, source, target):
    task = task_of(tmp_path, older_than_seconds=1000.0)
    make_tree(source)
    for path in source.rglob("*.dcm"):
        os.utime(path, ns=(1, 1))
    run_task(task)
    young = next(source.rglob("*.dcm"))
    os.utime(young)  # left out from now on: what the target has stays
    copy = target / young.relative_to(source)
    copy.unlink()
    run_task(task)
    assert not copy.exists()
    os.utime(young, ns=(1, 1))
    run_task(task)
    assert copy.read_bytes() == young.read_bytes()


@pytest.mark.parametrize("damage", ["missing", "garbage", "foreign"])
def test_without_what_was_written_down_everything_is_compared(tmp_path, source, target, damage):
    task = task_of(tmp_path)
    make_tree(source)
    run_task(task)
    seen = tmp_path / "hot/.tiers/seen.sqlite"
    if damage == "missing":
        seen.unlink()
    elif damage == "garbage":
        seen.write_bytes(b"garbage" * 1000)
    else:
        cache = ScanCache(str(seen))
        cache.remember(b"routes/frames\0frames", b"0" * 64)
        cache.close()
    edit_tree(source)
    victim = next(target.rglob("*.dcm"))
    victim.unlink()
    run_task(task)
    assert photograph(target) == photograph(source)


def test_a_look_that_fails_in_the_child_is_done_again(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    sight = Sight(Folder(str(tmp_path)), b"", None, "routes/r", -1)
    sight.begin()
    if sight._child is not None:
        os.kill(sight._child[0], 9)
    sight.look()
    assert [path for path, _ in sight.all()] == [b"a"]
    sight.close()


@pytest.mark.slow
def test_parts_that_nobody_needs_are_taken_out_of_the_sidecar(tmp_path, source):
    task = task_of(tmp_path)
    source.mkdir(parents=True, exist_ok=True)
    for number in range(4300):
        (source / f"{number:05}").touch()
    run_task(task)
    (source / "00007").write_bytes(b"more")
    run_task(task)
    mirror = MirrorTarget(str(tmp_path / "hot"), task)
    tree = mirror._read_state("head")[1]
    mirror.close()
    there = {path.name for path in (tmp_path / "hot/.tiers/indexes").iterdir()}
    assert not tree.whole
    assert there == {tree.digest, *(part.digest.hex() for part in tree.parts)}


class Small(MirrorTarget):
    """A mirror that sorts out few chunks at a time, as one with a million does."""

    WINDOW_PIECES = 7


def test_many_files_are_built_window_by_window(tmp_path, source, target):
    task = task_of(tmp_path)
    make_tree(source)
    tree = FolderTree(str(tmp_path / "edge"), task, EVERYTHING, remember=True)
    mirror = Small(str(tmp_path / "hot"), task)
    try:
        found = tree.look()
        planned = mirror.plan(Wish(found.index))
        filled = mirror.fill(tree.chunks, Pace(0), unheard)
        mirror.commit(())
    finally:
        mirror.close()
        tree.close()
    assert planned.files == 60
    assert filled.chunks == planned.chunks > 50
    assert photograph(target) == photograph(source)
    (result,) = run_task(task).targets
    assert not result.changed, "what was written down fits"


def test_a_log_of_entries_is_a_list_that_is_packed():
    entries = [file_entry(b"%05d" % number, []) for number in range(10_000)]
    log = EntryLog(entries)
    assert (len(log), bool(log), list(log)) == (10_000, True, entries)
    log.clear()
    assert (len(log), bool(log), list(log)) == (0, False, [])
