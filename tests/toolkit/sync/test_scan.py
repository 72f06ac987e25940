"""A scan sees everything once, reads nothing twice, follows no link, and says what it could not read."""

from __future__ import annotations

import os
import random
import socket
import threading
import time

import pytest

from tests.toolkit.sync.disks import write_sparse
from tests.toolkit.sync.trees import make_tree
from toolkit.errors import UnsafePathError
from toolkit.sync.cache import ScanCache
from toolkit.sync.folder import Folder
from toolkit.sync.scan import scan
from toolkit.sync.selection import Selection
from toolkit.wire.chunk import ARCHIVE, ARTIFACT, LARGE_ARTIFACT, cut
from toolkit.wire.digest import digest_of
from toolkit.wire.index import Index, decode_index, encode_index


def by_path(found):
    return {entry.path: entry for entry in found.index.entries}


def settled(root, wait_until):
    """Wait until the files are old enough for the cache to trust their times."""
    from toolkit.sync.cache import facts_of, has_settled, now_ns

    wait_until(
        lambda: all(has_settled(facts_of(path.lstat()), now_ns()) for path in root.rglob("*")),
        "the files have settled",
    )


@pytest.mark.parametrize(
    ("grid", "sizes"), [("data", LARGE_ARTIFACT), ("scattered", ARTIFACT), ("archive", ARCHIVE)]
)
def test_each_file_is_cut_as_if_it_were_cut_whole(tmp_path, grid, sizes):
    make_tree(tmp_path)
    large = random.Random(1).randbytes(20 * 1024 * 1024 + 12345)  # more than two segments
    (tmp_path / "large").write_bytes(large)
    found = scan(Folder(str(tmp_path)), grid=grid)
    for path, entry in by_path(found).items():
        if entry.kind == "file":
            data = (tmp_path / os.fsdecode(path)).read_bytes()
            assert [(ref.digest, ref.size) for ref in entry.refs()] == [
                (digest_of(piece), len(piece)) for piece in cut(data, sizes)
            ]
    assert found.index.total_bytes == found.bytes_read
    assert found.files_read == 61


def test_its_index_is_one_that_readers_take(tmp_path):
    make_tree(tmp_path)
    os.makedirs(os.fsencode(tmp_path) + b"/\xff\xfe/b")  # noqa: PTH103 -- not UTF-8
    with open(os.fsencode(tmp_path) + b"/\xff\xfe/b\xe4\n", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (tmp_path / "a").mkdir()
    (tmp_path / "a-b").write_bytes(b"sorts between a and a/c")
    (tmp_path / "a/c").write_bytes(b"")
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = scan(Folder(str(tmp_path)))
    digest, data = encode_index(Index(entries=tuple(found.index.entries)))
    assert decode_index(data, digest).entries == tuple(found.index.entries)
    assert b"\xff\xfe/b\xe4\n" in by_path(found)
    assert by_path(found)[b"link"].target == b"/etc/passwd"


def test_empty_folders_modes_and_times_are_kept(tmp_path):
    (tmp_path / "empty").mkdir(mode=0o750)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(0o640)
    os.utime(file, ns=(1, 1_234_567_890_123_456_789))
    entries = by_path(scan(Folder(str(tmp_path))))
    assert (entries[b"empty"].kind, entries[b"empty"].mode) == ("folder", 0o750)
    assert (entries[b"file"].mode, entries[b"file"].mtime_ns) == (0o640, 1_234_567_890_123_456_789)


def test_rights_of_the_owner_are_not_taken_along(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "file").chmod(0o4755)
    assert by_path(scan(Folder(str(tmp_path))))[b"file"].mode == 0o755


def test_links_are_not_followed_and_specials_are_counted(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to("../outside")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        found = scan(Folder(str(root)))
    assert sorted(by_path(found)) == [b"folder", b"loop"]
    assert found.special == 2
    assert found.problems == ()


def test_the_sidecar_is_no_data_but_a_folder_of_that_name_below_is(tmp_path):
    for way in (".tiers", "a/.tiers"):
        (tmp_path / way).mkdir(parents=True)
        (tmp_path / way / "x").write_bytes(b"x")
    assert sorted(by_path(scan(Folder(str(tmp_path))))) == [b"a", b"a/.tiers", b"a/.tiers/x"]


def test_a_path_through_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/frames").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafePathError, match="'frames' on the way is a link"):
        scan(Folder(str(tmp_path / "root")), b"frames")


def test_a_path_that_is_not_there_is_not_an_empty_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        scan(Folder(str(tmp_path)), b"frames")


def test_the_second_scan_reads_only_what_changed(tmp_path, wait_until):
    root, file = tmp_path / "root", str(tmp_path / "scan.sqlite")
    root.mkdir()
    make_tree(root)
    settled(root, wait_until)

    def again():
        cache = ScanCache(file)
        found = scan(Folder(str(root)), cache=cache)
        cache.close()
        return found

    first = again()
    second = again()
    assert (second.files_read, second.bytes_read) == (0, 0)
    assert second.index == first.index
    changed = next(path for path in root.rglob("*.dcm") if path.stat().st_size > 1000)
    kept = changed.stat()
    changed.write_bytes(random.Random(2).randbytes(kept.st_size))
    os.utime(changed, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # size and time as before: only ctime tells
    third = again()
    assert third.files_read == 1
    assert third.index != first.index
    changed.unlink()
    assert os.fsencode(changed.relative_to(root)) not in by_path(again())
    changed.write_bytes(b"back")
    assert again().files_read == 1


def test_a_file_that_was_just_written_is_read_again_because_it_may_change_within_the_same_tick(tmp_path):
    (tmp_path / "root").mkdir()
    cache = ScanCache(str(tmp_path / "scan.sqlite"))
    (tmp_path / "root/fresh").write_bytes(b"x")
    ahead = time.time_ns() + 60_000_000_000  # no machine is so slow that this is long ago when it is read
    os.utime(tmp_path / "root/fresh", ns=(ahead, ahead))
    scan(Folder(str(tmp_path / "root")), cache=cache)
    assert scan(Folder(str(tmp_path / "root")), cache=cache).files_read == 1
    cache.close()


def test_grids_do_not_share_what_they_learned(tmp_path, wait_until):
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(random.Random(3).randbytes(2_000_000))
    settled(root, wait_until)
    cache = ScanCache(str(tmp_path / "scan.sqlite"))
    data = scan(Folder(str(root)), cache=cache)
    archive = scan(Folder(str(root)), grid="archive", cache=cache)
    assert archive.files_read == 1
    assert data.index != archive.index
    cache.close()


def test_a_file_that_keeps_changing_is_torn_and_the_others_are_read(tmp_path, wait_until):
    busy, calm = tmp_path / "busy", tmp_path / "calm"
    write_sparse(busy, 150_000_000)  # long enough to read that it changes meanwhile on a busy machine too
    calm.write_bytes(b"calm")
    stop, beats = threading.Event(), []

    def keep_changing():
        with busy.open("r+b", buffering=0) as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(64))
                beats.append(1)

    changer = threading.Thread(target=keep_changing)
    changer.start()
    try:
        wait_until(lambda: len(beats) > 10, "the file is being changed")
        for _ in range(20):  # the thread that changes it may stand still for as long as one takes
            found = scan(Folder(str(tmp_path)))
            if found.problems:
                break
    finally:
        stop.set()
        changer.join()
    assert [(problem.path, problem.kind) for problem in found.problems] == [("busy", "torn")]
    assert found.left_out == {b"busy"}
    assert sorted(by_path(found)) == [b"calm"]


@pytest.fixture
def nobody():
    """Give up root's rights, which read everything, for the length of a test."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_what_may_not_be_read_is_named_and_kept(tmp_path, request):
    (tmp_path / "closed").write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "open").write_bytes(b"x")
    (tmp_path / "sub").mkdir(mode=0)
    tmp_path.chmod(0o755)
    folder = Folder(str(tmp_path))
    request.getfixturevalue("nobody")
    found = scan(folder)
    assert sorted((problem.path, problem.kind) for problem in found.problems) == [
        ("closed", "unreadable"),
        ("sub", "unreadable"),
    ]
    assert found.left_out == {b"closed", b"sub"}
    assert sorted(by_path(found)) == [b"open", b"sub"]


def test_a_path_that_is_too_long_for_an_index_is_named(tmp_path):
    part = "d" * 250
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(17):  # 17 x 251 bytes: deeper than a path may be, reachable step by step
        os.mkdir(part, dir_fd=descriptor)
        following = os.open(part, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = following
    os.close(descriptor)
    found = scan(Folder(str(tmp_path)))
    assert [problem.kind for problem in found.problems] == ["unreadable"]
    assert "4096" in found.problems[0].reason


def test_a_selection_takes_files_and_says_which_it_left(tmp_path):
    now = 1_700_000_000_000_000_000
    for name, size, age in (
        ("old.dcm", 10, 100),
        ("young.dcm", 10, 1),
        ("old.txt", 10, 100),
        ("tiny.dcm", 1, 100),
    ):
        path = tmp_path / "sub" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, ns=(now, now - age * 1_000_000_000))
    import re

    selection = Selection(
        changed_before_ns=now - 50 * 1_000_000_000, larger_than_bytes=5, name=re.compile(rb".*\.dcm")
    )
    found = scan(Folder(str(tmp_path)), selection=selection)
    assert sorted(by_path(found)) == [b"sub/old.dcm"]
    assert found.left_out == {b"sub/young.dcm", b"sub/old.txt", b"sub/tiny.dcm"}
