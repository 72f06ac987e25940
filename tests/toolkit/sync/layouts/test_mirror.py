"""A mirror ends up equal to its source, moves only what it lacks, and touches nothing that is not its own."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pydicom
import pytest

from tests.toolkit.sync.trees import edit_tree, make_tree, photograph, storage, task_of
from toolkit.errors import IntegrityError, SyncError
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.run import run_task
from toolkit.sync.verify import verify_target


@pytest.fixture
def task(tmp_path):
    return task_of(tmp_path)


@pytest.fixture
def source(tmp_path):
    return tmp_path / "edge/frames"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "hot/frames"


def run(task, **options):
    result = run_task(task, **options)
    (target,) = result.targets
    assert not target.error, target
    return result, target


def unchanged(task):
    """A run that finds nothing to do, not even a file of the sidecar to write."""
    _, target = run(task)
    assert (target.chunks_moved, target.bytes_moved, target.files_written, target.deleted) == (0, 0, 0, 0)
    assert not target.changed
    return True


def test_the_dicom_files_of_pydicom_arrive_and_the_second_run_moves_nothing(task, source, target):
    real = Path(pydicom.__file__).parent / "data"
    shutil.copytree(real, source, dirs_exist_ok=True)
    files = sum(path.is_file() for path in real.rglob("*"))
    assert files > 150
    result, moved = run(task)
    assert photograph(target) == photograph(source)
    assert result.files == moved.files_written == files
    # Between two folders the files' own bytes move, each chunk once; only packs and links have them compressed.
    assert 0 < moved.bytes_moved == moved.bytes_unpacked < result.total_bytes
    assert moved.bytes_saved == result.total_bytes - moved.bytes_moved
    assert unchanged(task)


def test_copies_move_once(task, source):
    make_tree(source)
    data = random.Random(5).randbytes(500_000)
    for name in ("a", "b", "c"):
        (source / name).write_bytes(data)
    (source / "zeros").write_bytes(bytes(5_000_000))
    result, moved = run(task)
    assert moved.chunks_moved == result.chunks
    assert moved.bytes_unpacked < result.total_bytes - 2 * 500_000 - 4_000_000


def test_after_edits_only_what_changed_moves(task, source, target):
    make_tree(source, files=100)
    large = random.Random(6).randbytes(8_000_000)
    (source / "large").write_bytes(large)
    run(task)
    edit_tree(source)
    (source / "study-0").rename(source / "study-moved")
    (source / "large").write_bytes(large[:3_000_000] + b"inserted" + large[3_000_000:])
    _, moved = run(task)
    assert photograph(target) == photograph(source)
    assert moved.bytes_unpacked < 1_000_000
    assert unchanged(task)


def test_what_is_gone_goes_and_folders_with_it(task, source, target):
    make_tree(source)
    run(task)
    shutil.rmtree(source / "study-3")
    _, moved = run(task)
    assert moved.deleted > 3
    assert not (target / "study-3").exists()
    assert photograph(target) == photograph(source)


def test_kinds_change_into_each_other(task, source, target):
    make_tree(source)
    (source / "file").write_bytes(b"x")
    (source / "folder/sub").mkdir(parents=True)
    (source / "folder/sub/file").write_bytes(b"y")
    (source / "link").symlink_to("file")
    run(task)
    (source / "file").unlink()
    (source / "file/now/a").mkdir(parents=True)
    (source / "file/now/a/folder").write_bytes(b"z")
    shutil.rmtree(source / "folder")
    (source / "folder").symlink_to("file")
    (source / "link").unlink()
    (source / "link").write_bytes(b"a file")
    run(task)
    assert photograph(target) == photograph(source)
    (source / "folder").unlink()
    (source / "folder").write_bytes(b"and a file")
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "link/inside").write_bytes(b"")
    run(task)
    assert photograph(target) == photograph(source)
    assert unchanged(task)


def test_times_and_modes_follow_without_moving_a_byte(task, source, target):
    make_tree(source)
    run(task)
    file = next(path for path in source.rglob("*.dcm") if path.stat().st_size)
    os.utime(file, ns=(1, 1_500_000_000_000_000_000))
    file.chmod(0o600)
    file.parent.chmod(0o555)
    inode = (target / file.relative_to(source)).stat().st_ino
    _, moved = run(task)
    assert photograph(target) == photograph(source)
    assert (moved.chunks_moved, moved.files_written) == (0, 0)
    assert (target / file.relative_to(source)).stat().st_ino == inode
    assert unchanged(task)


def test_names_that_are_not_utf8_arrive(task, source, target):
    with open(os.fsencode(source) + b"/\xff\xfe\n name", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    run(task)
    assert photograph(target) == photograph(source)


def test_a_folder_that_may_not_be_written_is_written_all_the_same():
    before = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        if before == 0:  # root may write everywhere
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            closed = Path(folder) / "edge/frames/closed"
            task = task_of(Path(folder))
            closed.mkdir()
            for content in (b"1", b"22"):
                (closed / "a").write_bytes(content)
                closed.chmod(0o555)
                run(task)
                assert photograph(Path(folder) / "hot/frames") == photograph(closed.parent)
                closed.chmod(0o755)
            (Path(folder) / "hot/frames/closed").chmod(0o755)
        finally:
            os.seteuid(before)


# ---------------------------------------------------------------- what is not ours
def test_foreign_files_stay_and_are_never_deleted(task, source, target):
    make_tree(source)
    run(task)
    (target / "study-1/NOTES.txt").write_bytes(b"by hand")
    (target / "by-hand").mkdir()
    shutil.rmtree(source / "study-1")
    run(task)
    assert (target / "study-1/NOTES.txt").read_bytes() == b"by hand"
    assert sorted(path.name for path in (target / "study-1").iterdir()) == ["NOTES.txt"]
    assert (target / "by-hand").is_dir()
    assert unchanged(task)


@pytest.mark.parametrize("kind", ["file", "folder", "link", "pipe"])
def test_something_foreign_in_the_way_is_named_and_left_and_the_rest_arrives(task, source, target, kind):
    make_tree(source)
    (source / "wanted").write_bytes(b"ours")
    target.mkdir()
    obstacle = target / "wanted"
    if kind == "file":
        obstacle.write_bytes(b"theirs")
    elif kind == "folder":
        obstacle.mkdir()
        (obstacle / "inside").write_bytes(b"theirs")
    elif kind == "link":
        obstacle.symlink_to("/etc/passwd")
    else:
        os.mkfifo(obstacle)
    before = photograph(target) if kind != "pipe" else None
    result, moved = run(task)
    assert result.exit_code == 1
    assert [(problem.path, problem.kind) for problem in moved.problems] == [("wanted", "in-the-way")]
    assert "move it away" in moved.problems[0].reason
    if before is not None:
        assert {path: photograph(target)[path] for path in before} == before
    assert moved.files_written == 60
    if kind == "folder":
        shutil.rmtree(obstacle)
    else:
        obstacle.unlink()
    result, moved = run(task)
    assert (result.exit_code, moved.files_written, moved.chunks_moved) == (0, 1, 1)
    assert photograph(target) == photograph(source)


def test_a_file_that_is_there_already_with_the_right_content_is_taken_over(task, source, target):
    make_tree(source)
    shutil.copytree(source, target)
    _, moved = run(task)
    assert (moved.chunks_moved, moved.files_written) == (0, 0)
    assert photograph(target) == photograph(source)
    assert unchanged(task)


def test_a_file_that_was_changed_in_the_target_is_replaced_if_the_source_has_it(task, source, target):
    make_tree(source)
    (source / "a").write_bytes(random.Random(1).randbytes(300_000))
    run(task)
    changed = bytearray((target / "a").read_bytes())
    changed[200_000] ^= 1
    (target / "a").write_bytes(changed)
    _, moved = run(task)
    assert (moved.chunks_moved, moved.files_written) == (1, 1)
    assert photograph(target) == photograph(source)


def test_and_kept_if_the_source_has_it_no_more(task, source, target):
    make_tree(source)
    (source / "a").write_bytes(b"1")
    run(task)
    (target / "a").write_bytes(b"worked on")
    (source / "a").unlink()
    result, moved = run(task)
    assert (target / "a").read_bytes() == b"worked on"
    assert [(problem.path, problem.kind) for problem in moved.problems] == [("a", "kept")]
    assert result.exit_code == 0


# ---------------------------------------------------------------- links planted inside the target
def test_nothing_is_written_through_a_link_that_took_a_folders_place(tmp_path, task, source, target):
    outside = tmp_path / "outside"
    outside.mkdir()
    make_tree(source)
    run(task)
    shutil.rmtree(target / "study-2")
    (target / "study-2").symlink_to(outside)
    (source / "study-2/series-0/evil.dcm").write_bytes(b"x")
    shutil.rmtree(source / "study-2/series-1")
    result, moved = run(task)
    assert list(outside.iterdir()) == []
    assert (target / "study-2").is_symlink()
    assert result.exit_code == 1
    assert {problem.kind for problem in moved.problems} == {"in-the-way"}
    (target / "study-2").unlink()
    run(task)
    assert photograph(target) == photograph(source)


def test_nothing_is_deleted_through_a_link(tmp_path, task, source, target):
    make_tree(source)
    run(task)
    outside = tmp_path / "outside"
    (target / "study-2").rename(outside)
    (target / "study-2").symlink_to(outside)
    before = photograph(outside)
    shutil.rmtree(source / "study-2")
    run(task, max_delete=100)
    assert photograph(outside) == before


@pytest.mark.parametrize("place", [".tiers", ".tiers/partial", "frames"])
def test_a_link_in_the_place_of_a_folder_of_ours_stops_the_run(tmp_path, task, source, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    make_tree(source)
    planted = tmp_path / "hot" / place
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(outside)
    result = run_task(task)
    assert result.exit_code == 6
    assert "is a link" in result.targets[0].error
    assert list(outside.iterdir()) == []


def test_a_draft_that_somebody_linked_to_another_file_is_not_written_through(tmp_path, task, source, target):
    make_tree(source)
    probe = MirrorTarget(str(tmp_path / "hot"), task)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    from toolkit.wire.index import file_entry

    partial = tmp_path / "hot/.tiers/partial/routes/frames"
    partial.mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())[:2]):
        draft = (
            tmp_path
            / "hot"
            / os.fsdecode(probe._drafts.path_of(file_entry(os.fsencode(path.relative_to(source)), ())))
        )
        draft.hardlink_to(victim) if number else draft.symlink_to(victim)
    probe.close()
    run(task)
    assert victim.read_bytes() == b"precious"
    assert photograph(target) == photograph(source)


def test_an_index_from_elsewhere_cannot_write_into_the_sidecar(tmp_path):
    """Packs may come from anybody: a path `.tiers/…` in them must not become a Ref or a draft of ours."""
    from tests.contracts.remote import MemoryRemote
    from toolkit.sync.layouts.pack import StoredChunk
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.ref import Ref
    from toolkit.sync.task import Storage
    from toolkit.wire.chunk import store_chunk
    from toolkit.wire.digest import digest_of
    from toolkit.wire.index import ChunkRef, Index, file_entry

    remote = MemoryRemote()
    store = PackStore(remote)
    store.add([StoredChunk(digest_of(b"x"), 1, store_chunk(b"x"))])
    evil = Index(entries=(file_entry(b".tiers/refs/routes/recall/head", [ChunkRef(digest_of(b"x"), 1)]),))
    store.write_ref("routes/archive/head", Ref(kind="index", digest=store.put_index(evil), path=""))
    task = task_of(
        tmp_path, route="recall", path="", source=Storage(tier="cold", url="memory://test", layout="packs")
    )
    result = run_task(task, remotes=lambda _: remote)
    assert result.exit_code == 6
    assert "ours alone" in result.targets[0].error


# ---------------------------------------------------------------- guards
def test_a_source_that_was_emptied_does_not_empty_the_target(task, source, target):
    make_tree(source)
    run(task)
    before = photograph(target)
    for path in source.iterdir():
        shutil.rmtree(path)
    result = run_task(task)
    assert result.exit_code == 1
    assert "60 of 60 files would be deleted" in result.targets[0].error
    assert "--max-delete 60" in result.targets[0].hint
    assert photograph(target) == before
    run(task, max_delete=60)
    assert photograph(target) == {}


def test_max_delete_counts_what_makes_room_too(task, source):
    (source / "a").mkdir()
    for number in range(5):
        (source / f"a/{number}").write_bytes(b"%d" % number)
    run(task)
    shutil.rmtree(source / "a")
    (source / "a").write_bytes(b"a file now")
    assert "5 of 5" in run_task(task, max_delete=4).targets[0].error
    run(task, max_delete=5)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path, task, source):
    make_tree(source)
    before = photograph(tmp_path)
    result, planned = run(task, dry_run=True)
    assert result.dry_run
    assert (planned.files_written, planned.chunks_moved) == (60, result.chunks)
    assert photograph(tmp_path) == before
    run(task)
    edit_tree(source)
    shutil.rmtree(source / "study-5")
    before = photograph(tmp_path)
    _, planned = run(task, dry_run=True)
    assert photograph(tmp_path) == before
    _, done = run(task)
    assert (planned.chunks_moved, planned.bytes_unpacked, planned.files_written, planned.deleted) == (
        done.chunks_moved,
        done.bytes_unpacked,
        done.files_written,
        done.deleted,
    )


def test_two_runs_of_a_route_do_not_meet(tmp_path, task, source):
    make_tree(source)
    run(task)
    with (tmp_path / "hot/.tiers/locks/routes+frames").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = run_task(task)
    assert result.exit_code == 1
    assert "another run of route frames" in result.targets[0].error
    assert unchanged(task)


def test_two_routes_share_a_storage(tmp_path, task, source):
    make_tree(source)
    run(task)
    (tmp_path / "edge/studies").mkdir()
    (tmp_path / "edge/studies/a").write_bytes(b"x")
    run(task_of(tmp_path, route="studies", path="studies"))
    assert unchanged(task)
    assert (tmp_path / "hot/studies/a").read_bytes() == b"x"


def test_devices_of_one_route_do_not_write_over_each_other(tmp_path):
    for number, device in enumerate(("endo-01", "endo-02")):
        task = task_of(tmp_path, origin=device, source=storage(tmp_path / f"edge-{number}"))
        (tmp_path / f"edge-{number}/frames").mkdir()
        (tmp_path / f"edge-{number}/frames/1.dcm").write_bytes(device.encode())
        run(task)
    for device in ("endo-01", "endo-02"):
        assert (tmp_path / f"hot/frames/{device}/1.dcm").read_bytes() == device.encode()


# ---------------------------------------------------------------- damage
def test_bits_that_turned_in_the_target_are_found_and_mended(task, source, target):
    make_tree(source)
    (source / "a").write_bytes(random.Random(1).randbytes(300_000))
    run(task)
    facts = (target / "a").stat()
    rotten = bytearray((target / "a").read_bytes())
    rotten[100_000] ^= 4
    (target / "a").write_bytes(rotten)
    os.utime(target / "a", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert unchanged(task)  # size and time look right
    found = verify_target(task, task.targets[0])
    assert (found.exit_code, [damage.what for damage in found.damage]) == (6, ["a"])
    assert "--check" in found.damage[0].cure
    _, moved = run(task, check=True)
    assert (moved.chunks_moved, moved.files_written) == (1, 1)
    assert verify_target(task, task.targets[0]).damage == ()
    assert photograph(target) == photograph(source)


def test_old_chunks_are_never_trusted_when_a_file_is_rebuilt(task, source, target):
    """The index says the target has a chunk; the bytes there have turned: it comes from the source instead."""
    data = random.Random(2).randbytes(2_000_000)
    (source / "a").write_bytes(data)
    run(task)
    facts = (target / "a").stat()
    rotten = bytearray(data)
    rotten[1_500_000] ^= 4
    (target / "a").write_bytes(rotten)
    os.utime(target / "a", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (source / "a").write_bytes(b"new beginning" + data)
    _, moved = run(task)
    assert photograph(target) == photograph(source)
    assert moved.chunks_moved >= 2


@pytest.mark.parametrize("what", ["refs/routes/frames/head", "index"])
def test_a_damaged_sidecar_is_named_and_the_files_stay(tmp_path, task, source, target, what):
    make_tree(source)
    run(task)
    before = photograph(target)
    sidecar = tmp_path / "hot/.tiers"
    file = next((sidecar / "indexes").iterdir()) if what == "index" else sidecar / what
    file.write_bytes(file.read_bytes()[:-5] + b"wrong")
    result = run_task(task)
    assert result.exit_code == 6
    assert photograph(target) == before
    with pytest.raises(IntegrityError):
        verify_target(task, task.targets[0])


def test_a_sidecar_that_was_removed_costs_a_reading_and_nothing_moves(tmp_path, task, source):
    make_tree(source)
    run(task)
    shutil.rmtree(tmp_path / "hot/.tiers")
    with pytest.raises(SyncError, match="brought nothing"):
        verify_target(task, task.targets[0])
    _, moved = run(task)
    assert (moved.chunks_moved, moved.files_written) == (0, 0)
    assert unchanged(task)


_FILLS_UP = """
import resource, sys
from pathlib import Path
from tests.toolkit.sync.trees import task_of
from toolkit.sync.run import run_task
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
target = run_task(task_of(Path(sys.argv[1]))).targets[0]
print(target.exit_code, target.error, "|", target.hint)
"""


def test_when_the_disk_takes_no_more_the_old_files_stay_and_what_arrived_counts(
    tmp_path, task, source, target
):
    draw = random.Random(3)
    for name in ("a", "b", "z"):
        (source / name).write_bytes(draw.randbytes(1_000_000))
    run(task)
    before = photograph(target)
    (source / "a").write_bytes(draw.randbytes(1_000_000))
    (source / "z").write_bytes(draw.randbytes(4_000_000))
    done = subprocess.run(
        [sys.executable, "-c", _FILLS_UP, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    assert done.stdout.startswith("5 "), done.stdout
    assert os.strerror(errno.EFBIG) in done.stdout
    assert photograph(target) == before
    result, moved = run(task)
    assert photograph(target) == photograph(source)
    assert moved.bytes_unpacked < 4_000_000 < result.total_bytes - 1_000_000


def test_an_index_that_unpacks_to_more_than_the_disk_is_refused_before_a_byte_is_written(tmp_path):
    """A bomb: one stored chunk of a few bytes, named so often that the file would fill any disk."""
    from tests.contracts.remote import MemoryRemote
    from toolkit.sync.layouts.pack import StoredChunk
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.ref import Ref
    from toolkit.sync.task import Storage
    from toolkit.wire.chunk import MAX_CHUNK_BYTES, store_chunk
    from toolkit.wire.digest import digest_of
    from toolkit.wire.index import ChunkRef, Index, file_entry

    remote = MemoryRemote()
    store = PackStore(remote)
    zeros = bytes(MAX_CHUNK_BYTES)
    name = ChunkRef(digest_of(zeros), len(zeros))
    store.add([StoredChunk(*name, store_chunk(zeros))])
    times = 2 * shutil.disk_usage(tmp_path).total // len(zeros)  # what is free changes while the test runs
    bomb = Index(entries=(file_entry(b"bomb", [name] * times),))
    store.write_ref("routes/archive/head", Ref(kind="index", digest=store.put_index(bomb), path="frames"))
    task = task_of(tmp_path, route="recall", source=Storage(tier="cold", url="memory://test", layout="packs"))
    result = run_task(task, remotes=lambda _: remote)
    assert result.exit_code == 5
    assert "are free" in result.targets[0].error
    assert photograph(tmp_path / "hot") == {}
    assert list((tmp_path / "hot/.tiers/partial/routes/recall").iterdir()) == []
