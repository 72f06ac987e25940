"""A run over every pair of layouts, several targets, conditions, limits; and what is left of it when it breaks off."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.remote import BreakingRemote, MemoryRemote
from tests.toolkit.sync.trees import edit_tree, make_tree, photograph, storage, task_of
from toolkit.errors import IntegrityError, RemoteUnavailableError, SyncError, UnsafePathError
from toolkit.sync.events import Finished, Moved, Planned, Scanned
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_remote
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs, verify_target

PACKS = Storage(tier="cold", url="memory://test", layout="packs")


def run(task: SyncTask, **options: object):
    result = run_task(task, **options)
    assert [target.error for target in result.targets] == [""] * len(result.targets)
    return result


def restore(root, remote, name="back"):
    """Pull the path out of packs into a fresh mirror and give its photograph."""
    task = task_of(root, storage(root / name), route="recall", source=PACKS)
    run(task, remotes=lambda _: remote)
    return photograph(root / name / "frames")


# ---------------------------------------------------------------- pairs of layouts
def test_a_tree_goes_through_packs_and_comes_back_the_same(tmp_path):
    task = task_of(tmp_path, PACKS)
    source = tmp_path / "edge/frames"
    make_tree(source)
    (source / "empty").mkdir()
    (source / "link").symlink_to("empty")
    remote = MemoryRemote()
    first = run(task, remotes=lambda _: remote)
    assert first.targets[0].chunks_moved == first.chunks
    assert restore(tmp_path, remote) == photograph(source)
    kept = dict(remote.objects)
    second = run(task, remotes=lambda _: remote)
    assert (second.bytes_moved, second.targets[0].changed) == (0, False)
    assert remote.objects == kept


@pytest.mark.parametrize(("limit", "most"), [(0, 8), (10**12, 1000)])
def test_a_restore_reads_packs_in_large_pieces_unless_it_has_a_limit(tmp_path, limit, most):
    """What is read ahead keeps to no limit, so a route that has one reads what it needs at the moment."""
    (tmp_path / "edge/frames").mkdir(parents=True)
    data = random.Random(1).randbytes(12 * 1024 * 1024)
    (tmp_path / "edge/frames/large").write_bytes(data)
    remote, reads = MemoryRemote(), []
    run(task_of(tmp_path, PACKS), remotes=lambda _: remote)

    def read(key, *, inner=remote.read, **how):
        reads.append(key)
        return inner(key, **how)

    remote.read = read
    back = task_of(tmp_path, storage(tmp_path / "back"), route="recall", source=PACKS)
    run(msgspec.structs.replace(back, limit_bytes_per_second=limit), remotes=lambda _: remote)
    assert (tmp_path / "back/frames/large").read_bytes() == data
    of_packs = sum(key.startswith("packs/") for key in reads)
    assert of_packs <= most
    assert (of_packs >= 24) == (limit > 0)  # a piece of half a MiB each time


def test_packs_keep_every_state_that_a_route_brought(tmp_path):
    task = task_of(tmp_path, PACKS)
    make_tree(tmp_path / "edge/frames")
    remote = MemoryRemote()
    for number in range(3):
        run(task, remotes=lambda _: remote)
        edit_tree(tmp_path / "edge/frames", seed=number)
    run(task, remotes=lambda _: remote)
    store = PackStore(remote)
    states = [store.read_ref(name) for name in store.list_refs("routes/frames/at/")]
    assert [state.sequence for state in states] == [1, 2, 3, 4]
    assert store.read_ref("routes/frames/head").digest == states[-1].digest
    for state in states:
        assert (
            store.missing(
                ref.digest for entry in store.get_index(state.digest).entries for ref in entry.refs()
            )
            == []
        )
    assert verify_packs(store) == []


def test_packs_fill_other_packs(tmp_path):
    near, far = MemoryRemote(), MemoryRemote()
    stores = {"memory://test": near, "memory://far": far}
    task = task_of(tmp_path, PACKS)
    make_tree(tmp_path / "edge/frames")
    run(task, remotes=lambda place: stores[place.url])
    copy = task_of(
        tmp_path, Storage(tier="cold", url="memory://far", layout="packs"), route="copy", source=PACKS
    )
    copied = run(copy, remotes=lambda place: stores[place.url])
    assert copied.targets[0].chunks_moved == copied.chunks
    assert restore(tmp_path, far) == photograph(tmp_path / "edge/frames")


def test_a_recall_takes_the_data_of_every_device(tmp_path):
    remote = MemoryRemote()
    for device in ("endo-01", "endo-02"):
        source = tmp_path / device
        task = task_of(tmp_path, PACKS, origin=device, source=storage(source))
        (source / "frames").mkdir()
        (source / "frames/1.dcm").write_bytes(device.encode())
        run(task, remotes=lambda _: remote)
    back = restore(tmp_path, remote)
    assert {path: seen[1] for path, seen in back.items() if seen[0] == "file"} == {
        "endo-01/1.dcm": b"endo-01",
        "endo-02/1.dcm": b"endo-02",
    }


def test_a_recall_of_what_nobody_brought_says_what_there_is(tmp_path):
    remote = MemoryRemote()
    task = task_of(tmp_path, PACKS)
    run(task, remotes=lambda _: remote)
    with pytest.raises(SyncError, match="holds nothing under 'studies'") as caught:
        run_task(task_of(tmp_path, route="recall", path="studies", source=PACKS), remotes=lambda _: remote)
    assert "frames" in caught.value.hint


# ---------------------------------------------------------------- breaking off
def _all_that_can_break(tmp_path):
    """How many changing operations a first push has."""
    counting = BreakingRemote(MemoryRemote(), breaks_at=10**9)
    run(task_of(tmp_path, PACKS), remotes=lambda _: counting)
    return counting.changes


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
def test_a_push_that_breaks_off_anywhere_is_completed_by_the_next_one(tmp_path, after):
    source = tmp_path / "edge/frames"
    source.mkdir(parents=True)
    draw = random.Random(1)
    for number in range(36):  # three packs
        (source / f"{number:02}").write_bytes(draw.randbytes(1_000_000))
    wanted = photograph(source)
    operations = _all_that_can_break(tmp_path)
    assert operations == 8  # three packs, the index, the promise, the state, the head, the promise's end
    for breaks_at in range(1, operations + 1):
        remote = MemoryRemote()
        line = BreakingRemote(remote, breaks_at=breaks_at, after=after)
        broken = run_task(task_of(tmp_path, PACKS), remotes=lambda _, line=line: line)
        assert (broken.exit_code, broken.targets[0].error) == (5, "the line is cut")
        store = PackStore(remote)
        durable = sum(1 for _ in store.digests())
        head = store.read_ref("routes/frames/head")
        assert (head is not None) == (
            breaks_at + after >= operations
        )  # the end of the promise comes behind it
        again = run(task_of(tmp_path, PACKS), remotes=lambda _, remote=remote: remote)
        assert again.targets[0].chunks_moved == again.chunks - durable  # nothing that is durable moves again
        assert restore(tmp_path, remote, f"back-{breaks_at}") == wanted
        assert verify_packs(PackStore(remote)) == []
        assert run(task_of(tmp_path, PACKS), remotes=lambda _, remote=remote: remote).bytes_moved == 0


def test_a_push_that_died_between_its_refs_does_not_stop_a_later_one_with_other_content(tmp_path):
    remote = MemoryRemote()
    make_tree(tmp_path / "edge/frames")
    line = BreakingRemote(remote, breaks_at=_all_that_can_break(tmp_path) - 1)
    run_task(task_of(tmp_path, PACKS), remotes=lambda _: line)
    assert PackStore(remote).list_refs() == ("routes/frames/at/0000000001",)
    edit_tree(tmp_path / "edge/frames")
    run(task_of(tmp_path, PACKS), remotes=lambda _: remote)
    assert PackStore(remote).read_ref("routes/frames/head").sequence == 2
    assert restore(tmp_path, remote) == photograph(tmp_path / "edge/frames")


def test_the_old_state_stays_readable_when_an_update_breaks_off_anywhere(tmp_path):
    source = tmp_path / "edge/frames"
    make_tree(source)
    first = MemoryRemote()
    run(task_of(tmp_path, PACKS), remotes=lambda _: first)
    before = photograph(source)
    edit_tree(source)
    (source / "new").write_bytes(random.Random(1).randbytes(400_000))
    for breaks_at in range(1, 5):
        remote = MemoryRemote()
        remote.objects = dict(first.objects)
        line = BreakingRemote(remote, breaks_at=breaks_at)
        assert run_task(task_of(tmp_path, PACKS), remotes=lambda _, line=line: line).exit_code == 5
        assert restore(tmp_path, remote, f"old-{breaks_at}") == before


def test_a_pull_that_breaks_off_leaves_the_mirror_as_it_was_and_moves_only_the_rest(tmp_path):
    remote = MemoryRemote()
    source = tmp_path / "edge/frames"
    make_tree(source, files=100)
    run(task_of(tmp_path, PACKS), remotes=lambda _: remote)
    back = task_of(tmp_path, storage(tmp_path / "back"), route="recall", source=PACKS)
    (key,) = (key for key in remote.objects if key.startswith("packs/"))
    whole = remote.objects[key]
    remote.objects[key] = bytes(len(whole) // 2) + whole[len(whole) // 2 :]
    broken = run_task(back, remotes=lambda _: remote)
    assert broken.exit_code == 6
    assert key[6:18] in broken.targets[0].error
    assert "remove packs/" in broken.targets[0].hint
    assert photograph(tmp_path / "back") == {}
    remote.objects[key] = whole
    again = run(back, remotes=lambda _: remote)
    assert again.targets[0].chunks_moved <= again.chunks
    assert photograph(tmp_path / "back/frames") == photograph(source)


class BreakingSidecar(DirectoryRemote):
    """The sidecar of a mirror, which fails at one of the steps that change it."""

    def __init__(self, path: Path, *, breaks_at: int) -> None:
        super().__init__(str(path))
        self._steps = breaks_at

    def _step(self) -> None:
        self._steps -= 1
        if not self._steps:
            raise RemoteUnavailableError("the sidecar broke")

    @contextmanager
    def laid_out(self, objects, *, last=None):
        self._step()
        with super().laid_out(objects) as drafts:
            yield drafts
            self._step()
        self._step()
        super().write(*last)

    def move(self, key, onto):
        self._step()
        super().move(key, onto)

    def delete_all(self, keys):
        self._step()
        super().delete_all(keys)


def test_a_mirror_whose_sidecar_breaks_at_any_step_is_completed_by_the_next_run(tmp_path):
    """It fails before the index is written, before it has its name, before `next`, before the head, before tidying."""
    from toolkit.sync.layouts.documents import Documents
    from toolkit.sync.layouts.mirror import MirrorTarget
    from toolkit.sync.pace import Pace
    from toolkit.sync.selection import EVERYTHING
    from toolkit.sync.source import FolderTree
    from toolkit.sync.target import Wish

    task = task_of(tmp_path)
    source, target = tmp_path / "edge/frames", tmp_path / "hot/frames"
    make_tree(source)
    run(task)
    for breaks_at in range(1, 6):
        edit_tree(source, seed=breaks_at)
        (source / f"new-{breaks_at}").write_bytes(random.Random(breaks_at).randbytes(100_000))
        mirror = MirrorTarget(str(tmp_path / "hot"), task)
        mirror._sidecar = BreakingSidecar(tmp_path / "hot/.tiers", breaks_at=breaks_at)
        mirror._documents = Documents(mirror._sidecar)
        tree = FolderTree(str(tmp_path / "edge"), task, EVERYTHING, remember=False)
        found = tree.look()
        mirror.plan(Wish(found.index))
        moved = mirror.fill(tree.chunks, Pace(0), lambda _: None)
        assert moved.chunks > 0
        with pytest.raises(RemoteUnavailableError):
            mirror.commit(())
        mirror.close()
        again = run(task)
        assert again.targets[0].chunks_moved == 0  # the drafts, or the files that were in place already
        assert photograph(target) == photograph(source)
        assert not run(task).targets[0].changed
        assert list((tmp_path / "hot/.tiers/partial/routes/frames").iterdir()) == []


def test_a_file_that_shrank_while_its_draft_was_waiting_arrives_short(tmp_path):
    from toolkit.sync.layouts.mirror import MirrorTarget
    from toolkit.sync.pace import Pace
    from toolkit.sync.selection import EVERYTHING
    from toolkit.sync.source import FolderTree
    from toolkit.sync.target import Wish

    task = task_of(tmp_path)
    file = tmp_path / "edge/frames/a"
    file.write_bytes(random.Random(3).randbytes(500_000))
    mirror = MirrorTarget(str(tmp_path / "hot"), task)
    tree = FolderTree(str(tmp_path / "edge"), task, EVERYTHING, remember=False)
    mirror.plan(Wish(tree.look().index))
    mirror.fill(tree.chunks, Pace(0), lambda _: None)
    mirror.close()  # as far as a killed run gets
    file.write_bytes(file.read_bytes()[:300_000])
    assert run(task).targets[0].chunks_moved <= 1
    assert photograph(tmp_path / "hot/frames") == photograph(tmp_path / "edge/frames")


def test_a_run_that_was_overtaken_says_so_and_loses_nothing(tmp_path):
    remote = MemoryRemote()
    task = task_of(tmp_path, PACKS)
    make_tree(tmp_path / "edge/frames")
    overtaking = []

    def overtake(event):
        if isinstance(event, Planned) and not overtaking:
            overtaking.append(event)
            run(task, remotes=lambda _: remote)

    edit_tree(tmp_path / "edge/frames")
    result = run_task(task, listen=overtake, remotes=lambda _: remote)
    assert result.exit_code == 1
    assert "another run of route frames" in result.targets[0].error
    assert PackStore(remote).list_refs() == ("routes/frames/at/0000000001", "routes/frames/head")
    assert restore(tmp_path, remote) == photograph(tmp_path / "edge/frames")


# ---------------------------------------------------------------- several targets, copies
def test_one_target_that_is_not_there_does_not_stop_the_others(tmp_path):
    gone = Storage(tier="warm", url=(tmp_path / "gone").as_uri())
    task = task_of(tmp_path, storage(tmp_path / "hot"), gone, storage(tmp_path / "warm-b"))
    make_tree(tmp_path / "edge/frames")
    result = run_task(task)
    assert [target.exit_code for target in result.targets] == [0, 5, 0]
    assert "No such file" in result.targets[1].error
    assert result.exit_code == 5
    for name in ("hot", "warm-b"):
        assert photograph(tmp_path / name / "frames") == photograph(tmp_path / "edge/frames")
    enough = run_task(msgspec.structs.replace(task, copies=2))
    assert enough.exit_code == 0


def test_a_source_that_is_not_there_is_said_at_once(tmp_path):
    task = task_of(tmp_path)
    shutil.rmtree(tmp_path / "edge/frames")
    with pytest.raises(SyncError, match="has no folder 'frames'"):
        run_task(task)
    shutil.rmtree(tmp_path / "edge")
    with pytest.raises(RemoteUnavailableError) as caught:
        run_task(task)
    assert caught.value.exit_code == 5


def test_a_source_that_may_not_be_written_is_read_without_a_cache(tmp_path):
    task = task_of(tmp_path)
    make_tree(tmp_path / "edge/frames")
    (tmp_path / "edge/.tiers").write_bytes(b"a file where the cache would be")
    assert run(task).files == 60
    assert run(task).bytes_moved == 0


# ---------------------------------------------------------------- conditions
def age(path, days):
    seconds = path.stat().st_mtime - days * 86400
    os.utime(path, (seconds, seconds))


def test_only_old_files_move_and_are_removed_once_every_target_holds_them(tmp_path):
    remote = MemoryRemote()
    task = task_of(
        tmp_path, PACKS, storage(tmp_path / "hot"), older_than_seconds=30 * 86400.0, then="remove_source"
    )
    source = tmp_path / "edge/frames"
    make_tree(source)
    old = [path for path in sorted(source.rglob("*.dcm")) if int(path.stem.split("-")[1]) % 2]
    kept = {path.relative_to(source): path.read_bytes() for path in old}
    for path in old:
        age(path, 40)
    result = run(task, remotes=lambda _: remote)
    assert (result.files, result.removed) == (30, 30)
    assert not any(path.exists() for path in old)
    assert sum(path.is_file() for path in source.rglob("*")) == 30
    # The next run finds them gone from the source and keeps them: this is an archive.
    young = next(path for path in source.rglob("*.dcm"))
    age(young, 31)
    kept[young.relative_to(source)] = young.read_bytes()
    assert run(task, remotes=lambda _: remote).removed == 1
    assert run(task, remotes=lambda _: remote).removed == 0
    for path, content in kept.items():
        assert (tmp_path / "hot/frames" / path).read_bytes() == content
    assert {path for path, seen in restore(tmp_path, remote).items() if seen[0] == "file"} == {
        str(path) for path in kept
    }


def test_a_source_is_not_emptied_when_one_target_failed_or_lost_a_byte(tmp_path):
    gone = Storage(tier="warm", url=(tmp_path / "gone").as_uri())
    task = task_of(tmp_path, storage(tmp_path / "hot"), gone, then="remove_source")
    make_tree(tmp_path / "edge/frames")
    before = photograph(tmp_path / "edge/frames")
    assert run_task(task).removed == 0
    assert photograph(tmp_path / "edge/frames") == before
    (tmp_path / "hot/frames/study-1/series-1/image-1.dcm").unlink()
    (
        tmp_path / "hot/frames/study-1/series-1/image-1.dcm"
    ).mkdir()  # in the way, so it cannot be brought again
    (tmp_path / "gone").mkdir()
    result = run_task(task)
    assert result.removed == 59
    assert [path.name for path in (tmp_path / "edge/frames").rglob("*.dcm")] == ["image-1.dcm"]


def test_a_file_that_changed_after_it_was_sent_is_not_removed(tmp_path):
    task = task_of(tmp_path, then="remove_source")
    for name in ("a", "b"):
        (tmp_path / "edge/frames" / name).write_bytes(name.encode())

    def work_on(event):
        if isinstance(event, Finished):
            (tmp_path / "edge/frames/a").write_bytes(b"newer")

    assert run(task, listen=work_on).removed == 1
    assert (tmp_path / "edge/frames/a").read_bytes() == b"newer"
    assert not (tmp_path / "edge/frames/b").exists()


def test_a_file_that_became_young_again_keeps_its_old_copy(tmp_path):
    task = task_of(tmp_path, older_than_seconds=10 * 86400.0)
    file = tmp_path / "edge/frames/a"
    file.write_bytes(b"old")
    age(file, 20)
    run(task)
    file.write_bytes(b"being worked on")
    assert run(task).targets[0].deleted == 0
    assert (tmp_path / "hot/frames/a").read_bytes() == b"old"
    file.unlink()
    assert run(task).targets[0].deleted == 1


def test_conditions_on_name_and_size(tmp_path):
    task = task_of(tmp_path, matching="*.dcm", larger_than_bytes=3)
    for name, size in (("a.dcm", 4), ("b.dcm", 3), ("c.txt", 9)):
        (tmp_path / "edge/frames" / name).write_bytes(bytes(size))
    run(task)
    assert sorted(path.name for path in (tmp_path / "hot/frames").iterdir()) == ["a.dcm"]


def test_packs_are_emptied_by_a_state_without_what_has_left(tmp_path):
    near, far = MemoryRemote(), MemoryRemote()
    stores = {"memory://test": near, "memory://far": far}
    make_tree(tmp_path / "edge/frames")
    for path in (tmp_path / "edge/frames").rglob("*.dcm"):
        age(path, 40 if "image-1" in path.name else 1)
    before = photograph(tmp_path / "edge/frames")
    run(task_of(tmp_path, PACKS), remotes=lambda _: near)
    archive = task_of(
        tmp_path,
        Storage(tier="cold", url="memory://far", layout="packs"),
        route="archive",
        source=PACKS,
        older_than_seconds=30 * 86400.0,
        then="remove_source",
    )
    moved = run(archive, remotes=lambda place: stores[place.url])
    old = {path for path in before if "/image-1" in path}
    assert moved.removed == len(old) > 0
    left = {path for path, seen in restore(tmp_path, near).items() if seen[0] == "file"}
    assert left == {path for path, seen in before.items() if seen[0] == "file"} - old
    archived = restore(tmp_path, far, "again")
    assert {path: archived[path] for path in old} == {path: before[path] for path in old}
    store = PackStore(near)
    assert [store.read_ref(name).sequence for name in store.list_refs("routes/frames/at/")] == [1, 2]
    assert verify_packs(store) == []  # the first state is whole still


def test_packs_that_another_run_has_written_to_meanwhile_are_not_emptied(tmp_path):
    near, far = MemoryRemote(), MemoryRemote()
    stores = {"memory://test": near, "memory://far": far}
    (tmp_path / "edge/frames").mkdir(parents=True)
    (tmp_path / "edge/frames/a").write_bytes(b"old")
    run(task_of(tmp_path, PACKS), remotes=lambda _: near)

    def meddle(event):
        if isinstance(event, Finished):
            (tmp_path / "edge/frames/b").write_bytes(b"new")
            run(task_of(tmp_path, PACKS), remotes=lambda _: near)

    target = Storage(tier="cold", url="memory://far", layout="packs")
    archive = task_of(tmp_path, target, route="archive", source=PACKS, then="remove_source")
    result = run(archive, listen=meddle, remotes=lambda place: stores[place.url])
    assert result.removed == 0
    assert set(restore(tmp_path, near)) == {"a", "b"}
    assert run(archive, remotes=lambda place: stores[place.url]).removed == 2


# ---------------------------------------------------------------- torn files
def test_a_file_that_changes_between_looking_and_sending_is_looked_at_again(tmp_path):
    task = task_of(tmp_path)
    make_tree(tmp_path / "edge/frames")
    changed = tmp_path / "edge/frames/changes"
    changed.write_bytes(b"first" * 1000)
    events = []

    def meddle(event):
        events.append(type(event))
        if isinstance(event, Planned) and events.count(Planned) == 1:
            changed.write_bytes(b"second" * 1000)

    result = run(task, listen=meddle)
    assert events.count(Planned) == 2
    assert result.exit_code == 0
    assert photograph(tmp_path / "hot/frames") == photograph(tmp_path / "edge/frames")


@pytest.mark.parametrize("layout", ["mirror", "packs"])
def test_a_file_that_changes_each_time_keeps_its_old_copy_and_the_rest_arrives(tmp_path, layout):
    remote = MemoryRemote()
    task = task_of(tmp_path, PACKS if layout == "packs" else storage(tmp_path / "hot"))
    source = tmp_path / "edge/frames"
    (source / "busy").write_bytes(b"quiet for now")
    run(task, remotes=lambda _: remote)
    make_tree(source)
    (source / "busy").write_bytes(b"0" * 1000)
    draw = random.Random(1)

    def meddle(event):
        if isinstance(event, Planned):
            (source / "busy").write_bytes(draw.randbytes(1000))

    result = run(task, listen=meddle, remotes=lambda _: remote)
    assert result.exit_code == 1
    assert [(problem.path, problem.kind) for problem in result.targets[0].problems] == [("busy", "torn")]
    assert result.torn == 1
    arrived = restore(tmp_path, remote) if layout == "packs" else photograph(tmp_path / "hot/frames")
    assert arrived["busy"][1] == b"quiet for now"
    wanted = photograph(source)
    assert {path for path in wanted if wanted[path] != arrived[path]} == {"busy"}
    assert run(task, remotes=lambda _: remote).exit_code == 0


# ---------------------------------------------------------------- what is told and what is held back
@pytest.mark.parametrize("layout", ["mirror", "packs"])
def test_the_events_add_up_to_the_result(tmp_path, layout):
    remote = MemoryRemote()
    task = task_of(tmp_path, PACKS if layout == "packs" else storage(tmp_path / "hot"))
    make_tree(tmp_path / "edge/frames")
    events = []
    result = run(task, listen=events.append, remotes=lambda _: remote)
    moved = [event for event in events if isinstance(event, Moved)]
    target = result.targets[0]
    assert sum(event.chunks for event in moved) == target.chunks_moved
    assert sum(event.total_bytes for event in moved) == target.bytes_unpacked
    assert sum(event.stored_bytes for event in moved) == target.bytes_moved
    assert isinstance(events[0], Scanned)
    assert isinstance(events[-1], Finished)
    (planned,) = (event for event in events if isinstance(event, Planned))
    assert (planned.chunks, planned.total_bytes) == (target.chunks_moved, target.bytes_unpacked)


def test_a_limit_holds_the_bytes_back(tmp_path):
    task = task_of(tmp_path, limit_bytes_per_second=1_000_000)
    (tmp_path / "edge/frames/a").write_bytes(random.Random(5).randbytes(600_000))
    result = run(task)
    assert result.seconds > 0.3  # a quarter of a second may go at once
    assert result.bytes_moved == 600_000


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"path": "../outside"}, UnsafePathError),
        ({"path": "/etc"}, UnsafePathError),
        ({"route": "a/b"}, IntegrityError),
        ({"route": ""}, IntegrityError),
        ({"origin": "../x"}, IntegrityError),
        ({"copies": 2}, IntegrityError),
        ({"limit_bytes_per_second": -1}, IntegrityError),
    ],
)
def test_a_task_that_cannot_be_is_refused_before_anything_is_opened(tmp_path, fields, error):
    with pytest.raises(error):
        run_task(msgspec.structs.replace(task_of(tmp_path), **fields))
    assert list((tmp_path / "hot").iterdir()) == []


def test_source_and_target_may_not_be_one(tmp_path):
    with pytest.raises(IntegrityError, match="source and target at once"):
        run_task(task_of(tmp_path, storage(tmp_path / "edge")))


# ---------------------------------------------------------------- any tree
names = st.sampled_from(["a", "b", "a-b", "c", "ä", "d\n"])
trees = st.recursive(
    st.one_of(
        st.tuples(
            st.just("file"),
            st.integers(0, 3),
            st.sampled_from([0, 1, 17_000, 300_000]),
            st.sampled_from([0o644, 0o600]),
        ),
        st.tuples(st.just("link"), st.sampled_from(["a", "../b", "/nowhere"])),
    ),
    lambda inner: st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)


def build(path, tree):
    if isinstance(tree, dict):
        path.mkdir()
        for name, inner in tree.items():
            build(path / name, inner)
    elif tree[0] == "file":
        path.write_bytes(random.Random(tree[1]).randbytes(tree[2]))
        path.chmod(tree[3])
    else:
        path.symlink_to(tree[1])


@pytest.mark.slow
@pytest.mark.timeout(
    1500
)  # some thousand flushes: 20 s on a disk that is idle, 90 s and more on one that is not
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(states=st.lists(st.dictionaries(names, trees, max_size=5), min_size=1, max_size=4))
def test_whatever_a_tree_becomes_mirror_and_packs_follow_it(tmp_path_factory, states):
    root = tmp_path_factory.mktemp("any")
    task = task_of(root, storage(root / "hot"), storage(root / "cold", "packs"))
    source = root / "edge/frames"
    for number, state in enumerate(states):
        shutil.rmtree(source)
        build(source, state)
        result = run(task, max_delete=1000)
        assert result.exit_code == 0
        assert photograph(root / "hot/frames") == photograph(source)
        back = task_of(
            root, storage(root / f"back-{number}"), route="recall", source=storage(root / "cold", "packs")
        )
        run(back)
        assert photograph(root / f"back-{number}/frames") == photograph(source)
        again = run(task)
        assert not any(target.changed for target in again.targets)
    assert verify_packs(PackStore(open_remote((root / "cold").as_uri()))) == []
    for place in task.targets:
        assert verify_target(task, place).damage == ()
