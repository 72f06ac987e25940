"""What a tree is beyond bytes comes through a mirror and back out of packs: names, links, attributes, holes, times."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.toolkit.sync.disks import ACL, need_acls, need_holes, need_xattrs, write_sparse, xattrs_of
from tests.toolkit.sync.trees import photograph, storage, task_of
from toolkit.sync.chunk_source import FolderSource
from toolkit.sync.events import unheard
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.lay import Layer
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.pace import Pace
from toolkit.sync.run import run_task
from toolkit.sync.scan import scan
from toolkit.sync.target import Wish
from toolkit.sync.task import SyncTask


@pytest.fixture
def task(tmp_path):
    return task_of(tmp_path)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "edge/frames"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def target(tmp_path):
    return tmp_path / "hot/frames"


def run(task, **options):
    result = run_task(task, **options)
    (target,) = result.targets
    assert not target.error, target
    return result, target


def idle(task):
    """A run that finds nothing to do."""
    result, target = run(task)
    assert result.exit_code == 0
    assert not target.changed
    return True


def names_of(root):
    """Paths of each file that has several."""
    files: dict[int, list[str]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
            files.setdefault(path.stat().st_ino, []).append(str(path.relative_to(root)))
    return sorted(files.values())


def everything(root):
    """All that `photograph` sees, and names, attributes and times of links."""
    beyond = {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            {} if path.is_symlink() else xattrs_of(path),
        )
        for path in root.rglob("*")
        if ".tiers" not in path.relative_to(root).parts
    }
    return photograph(root), names_of(root), beyond


def make_all_kinds(root):
    """A tree with everything that is kept."""
    draw = random.Random(4)
    need_xattrs(root)
    need_acls(root)
    need_holes(root)
    (root / "a folder").mkdir()
    (root / "a folder/first").write_bytes(draw.randbytes(200_000))
    os.setxattr(root / "a folder/first", "user.patient", b"\xff\0")
    os.setxattr(root / "a folder/first", "system.posix_acl_access", ACL)
    (root / "second").hardlink_to(root / "a folder/first")
    (root / "third").hardlink_to(root / "a folder/first")
    os.setxattr(root / "a folder", "user.kind", b"study")
    os.setxattr(root / "a folder", "system.posix_acl_default", ACL)
    write_sparse(root / "sparse", 3_000_000, (1_000_000, draw.randbytes(5000)))
    write_sparse(root / "hole only", 500_000)
    with open(os.fsencode(root) + b"/\xff\xfe", "wb") as file:  # noqa: PTH123 -- a name that is no text
        file.write(b"bytes")
    (root / "link").symlink_to("a folder/first")
    (root / "dangling").symlink_to("../../nowhere")
    (root / "to a folder").symlink_to("a folder")
    os.utime(root / "link", ns=(1, 1_600_000_000_123_456_789), follow_symlinks=False)
    (root / "read only").write_bytes(b"x")
    (root / "read only").chmod(0o400)
    (root / "Name").write_bytes(b"large")
    (root / "name").write_bytes(b"small")
    os.utime(root / "a folder", ns=(1, 1_500_000_000_987_654_321))


def test_a_mirror_has_all_of_it_and_a_second_run_does_nothing(task, source, target):
    make_all_kinds(source)
    result, _ = run(task)
    assert result.exit_code == 0, result
    assert everything(target) == everything(source)
    assert (target / "sparse").stat().st_blocks * 512 < 500_000
    assert (target / "hole only").stat().st_blocks == 0
    assert idle(task)


def test_packs_keep_all_of_it_and_give_it_back(tmp_path, source):
    make_all_kinds(source)
    cold = storage(tmp_path / "cold", "packs")
    assert run_task(task_of(tmp_path, cold)).exit_code == 0
    back = SyncTask(route="recall", source=cold, targets=(storage(tmp_path / "back"),), path="frames")
    assert run(back)[0].exit_code == 0
    assert everything(tmp_path / "back/frames") == everything(source)
    assert (tmp_path / "back/frames/sparse").stat().st_blocks * 512 < 500_000
    assert idle(back)


def test_names_are_given_and_taken_without_moving_a_byte(task, source, target):
    data = random.Random(1).randbytes(100_000)
    (source / "b").write_bytes(data)
    (source / "c").write_bytes(data)
    os.utime(source / "c", ns=(0, (source / "b").stat().st_mtime_ns))
    run(task)
    assert names_of(target) == []
    (source / "a").hardlink_to(source / "b")  # a new first name
    _, moved = run(task)
    assert (names_of(target), moved.bytes_moved) == ([["a", "b"]], 0)
    (source / "c").unlink()
    (source / "c").hardlink_to(source / "b")  # the same content, now the same file
    _, moved = run(task)
    assert (names_of(target), moved.bytes_moved) == ([["a", "b", "c"]], 0)
    (source / "a").unlink()
    run(task)
    assert names_of(target) == [["b", "c"]]
    (source / "c").unlink()
    (source / "c").write_bytes(data)  # two files again, of the same content
    os.utime(source / "c", ns=(0, 1_600_000_000_000_000_000))
    run(task)
    assert names_of(target) == []
    assert photograph(target) == photograph(source)
    assert idle(task)


def test_a_change_of_one_file_changes_all_its_names_and_no_other(task, source, target):
    (source / "a").write_bytes(b"1" * 50_000)
    (source / "b").hardlink_to(source / "a")
    (source / "other").write_bytes(b"1" * 50_000)
    run(task)
    (source / "a").write_bytes(b"2" * 50_000)
    (source / "a").chmod(0o600)
    run(task)
    assert everything(target) == everything(source)
    assert names_of(target) == [["a", "b"]]
    (source / "b").chmod(0o640)
    run(task)
    assert everything(target) == everything(source)
    assert idle(task)


def test_two_files_that_somebody_made_one_in_the_target_become_two_again(task, source, target):
    """`cp -al`, jdupes and the like: a change of one must not be a change of the other."""
    for name in ("a", "b"):
        (source / name).write_bytes(b"equal")
        os.utime(source / name, ns=(0, 1_600_000_000_000_000_000))
    run(task)
    (target / "b").unlink()
    (target / "b").hardlink_to(target / "a")
    (source / "b").chmod(0o600)
    run(task)
    assert everything(target) == everything(source)
    assert idle(task)


def test_a_tree_of_one_file_that_was_there_before_is_taken_apart(task, source, target):
    for number, name in enumerate(("a", "b")):
        (source / name).write_bytes(b"equal")
        os.utime(source / name, ns=(0, 1_600_000_000_000_000_000 + number))
    target.mkdir(parents=True)
    (target / "a").write_bytes(b"equal")
    (target / "b").hardlink_to(target / "a")
    assert run(task)[0].exit_code == 0
    assert everything(target) == everything(source)
    assert idle(task)


def test_a_name_whose_first_one_is_blocked_becomes_a_file(task, source, target):
    (source / "a").write_bytes(b"content")
    (source / "b").hardlink_to(source / "a")
    (source / "c").hardlink_to(source / "a")
    target.mkdir(parents=True)
    (target / "a").mkdir()
    (target / "a/foreign").write_bytes(b"")
    for _ in range(2):
        result, done = run(task)
        assert result.exit_code == 1
        assert [(problem.path, problem.kind) for problem in done.problems] == [("a", "in-the-way")]
        assert (target / "b").read_bytes() == (target / "c").read_bytes() == b"content"
    shutil.rmtree(target / "a")
    assert run(task)[0].exit_code == 0
    assert names_of(target) == [["a", "b", "c"]]
    assert idle(task)


def test_attributes_follow_without_moving_a_byte(task, source, target):
    need_xattrs(source)
    need_acls(source)
    (source / "file").write_bytes(b"x")
    (source / "folder").mkdir()
    run(task)
    os.setxattr(source / "file", "user.a", b"1")
    os.setxattr(source / "file", "system.posix_acl_access", ACL)
    os.setxattr(source / "folder", "user.b", b"2")
    _, moved = run(task)
    assert (moved.bytes_moved, moved.files_written) == (0, 0)
    assert everything(target) == everything(source)
    os.removexattr(source / "file", "user.a")
    os.removexattr(source / "file", "system.posix_acl_access")
    os.removexattr(source / "folder", "user.b")
    (source / "file").chmod(0o440)
    run(task)
    assert everything(target) == everything(source)
    assert idle(task)


def test_check_mends_attributes_that_somebody_changed_in_the_target(task, source, target):
    need_xattrs(source)
    (source / "file").write_bytes(b"x")
    os.setxattr(source / "file", "user.a", b"1")
    run(task)
    os.setxattr(target / "file", "user.a", b"changed")
    run(task, check=True)
    assert xattrs_of(target / "file") == {"user.a": b"1"}


def test_what_grants_rights_does_not_arrive(task, source, target):
    (source / "file").write_bytes(b"x")
    (source / "file").chmod(0o6755)
    assert run(task)[0].exit_code == 0
    assert (target / "file").stat().st_mode & 0o7777 == 0o755


def test_a_source_is_emptied_of_all_names_in_one_run(tmp_path, source, target):
    task = task_of(tmp_path, then="remove_source")
    (source / "a").write_bytes(b"x")
    (source / "b").hardlink_to(source / "a")
    result, _ = run(task)
    assert result.removed == 2
    assert names_of(target) == [["a", "b"]]


# ---------------------------------------------------------------- what a file system cannot hold
@pytest.fixture
def bare():
    """A file system without extended attributes: ramfs, which only root may mount.

    Not below pytest's own folder: what a killed run leaves mounted there would be in the way of the next ones.
    """
    folder = Path(tempfile.mkdtemp(prefix="tiers-bare-"))
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "ramfs", "none", folder], check=False).returncode:
        folder.rmdir()
        pytest.skip("only root may mount a file system without extended attributes")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # a test that failed may still hold it
    folder.rmdir()


def test_attributes_that_the_target_cannot_hold_are_named_each_time(tmp_path, source, bare):
    need_xattrs(source)
    task = task_of(tmp_path, storage(bare))
    (source / "file").write_bytes(b"x")
    (source / "name").hardlink_to(source / "file")
    os.setxattr(source / "file", "user.a", b"1")
    (source / "folder").mkdir()
    os.setxattr(source / "folder", "user.b", b"1")
    for _ in range(3):
        result, done = run(task)
        assert result.exit_code == 1
        named = {(problem.path, problem.kind) for problem in done.problems}
        assert named == {("file", "unfit"), ("folder", "unfit")}
        assert "user.a" in next(problem.reason for problem in done.problems if problem.path == "file")
        assert names_of(bare / "frames") == [["file", "name"]]
    assert photograph(bare / "frames") == photograph(source)
    os.removexattr(source / "file", "user.a")
    os.removexattr(source / "folder", "user.b")
    assert run(task)[0].exit_code == 0
    assert idle(task)


@pytest.mark.slow
def test_a_name_too_many_is_a_copy_and_is_named(task, source, target):
    (source / "a").write_bytes(b"content")
    run(task)
    try:
        for number in range(65_100):
            os.link(target / "a", target.parent / f"{number}")
    except OSError:
        (source / "b").hardlink_to(source / "a")
    else:
        pytest.skip("this file system gives a file more than 65,000 names")
    for _ in range(2):
        result, done = run(task)
        assert result.exit_code == 1
        assert [(problem.path, problem.kind) for problem in done.problems] == [("b", "unfit")]
        assert (target / "b").read_bytes() == b"content"
        assert (target / "b").stat().st_nlink == 1
    assert photograph(target) == photograph(source)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_came_into_the_target_meanwhile_stays_and_is_named(tmp_path, source, target, kind):
    """The same guard finds names that a file system takes for one: the second one is never written over the first."""
    if kind == "file":
        (source / "a").write_bytes(b"ours")
    elif kind == "link":
        (source / "a").symlink_to("ours")
    else:
        (source / "a").mkdir()
        (source / "a/below").write_bytes(b"ours")
    (source / "b").write_bytes(b"b")
    task = task_of(tmp_path)
    mirror = MirrorTarget(str(tmp_path / "hot"), task)
    found = scan(Folder(str(tmp_path / "edge")), b"frames")
    mirror.plan(Wish(found.index))
    mirror.fill(FolderSource(Folder(str(tmp_path / "edge")), b"frames", found.index), Pace(0), unheard)
    target.mkdir(parents=True, exist_ok=True)
    (target / "a").write_bytes(b"theirs")
    done = mirror.commit(frozenset())
    mirror.close()
    assert [(problem.path, problem.kind) for problem in done.problems] == [("a", "in-the-way")]
    assert ((target / "a").read_bytes(), (target / "b").read_bytes()) == (b"theirs", b"b")
    again = run_task(task)
    assert again.exit_code == 1
    assert (target / "a").read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("number", "is_name"),
    [
        (errno.ENAMETOOLONG, True),
        (errno.EILSEQ, True),
        (errno.EINVAL, True),
        (errno.EIO, False),
        (errno.ENOSPC, False),
    ],
)
def test_a_name_that_the_file_system_has_not_is_left_out_and_a_broken_disk_is_not(tmp_path, number, is_name):
    """No file system that is at hand has shorter names than an index, so what it would answer is said here."""
    layer = Layer(Folder(str(tmp_path)), b"", Drafts(Folder(str(tmp_path)), b"drafts", ""), ())
    assert layer.refuse_name(b"a name", OSError(number, os.strerror(number))) is is_name
    assert layer.refused == ({b"a name"} if is_name else set())
    assert [(problem.path, problem.kind) for problem in layer.problems] == [("a name", "unfit")] * is_name
