"""No path leaves a Folder, and descriptors come back."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from toolkit.errors import RemoteUnavailableError, UnsafePathError
from toolkit.sync.folder import Cursor, Folder


def open_below(folder: Path) -> list[Path]:
    """Give what this process holds open below a folder; elsewhere, threads and garbage of other tests come and go."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.append(descriptor.readlink())
    return [path for path in held if path.is_relative_to(folder)]


def test_a_link_anywhere_on_the_way_is_refused(tmp_path):
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/link").symlink_to(tmp_path / "real")
    folder = Folder(str(tmp_path / "root"))
    for path in (b"a/link/x", b"a/link/sub/x"):
        with pytest.raises(UnsafePathError, match="'link' on the way"), folder.parent(path, create=True):
            pytest.fail("opened")
    assert list((tmp_path / "real/sub").iterdir()) == []


def test_a_file_on_the_way_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(UnsafePathError), Folder(str(tmp_path)).parent(b"a/b", create=True):
        pytest.fail("opened")


def test_folders_are_made_only_when_asked(tmp_path):
    folder = Folder(str(tmp_path))
    with pytest.raises(FileNotFoundError), folder.parent(b"a/b/c"):
        pytest.fail("opened")
    with folder.parent(b"a/b/c", create=True) as (descriptor, name):
        assert name == b"c"
        assert os.fstat(descriptor).st_ino == (tmp_path / "a/b").stat().st_ino


def test_no_descriptor_is_lost_whatever_happens(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    for _ in range(20):
        folder = Folder(str(tmp_path))
        with folder.folder(b"a"), Cursor(folder) as cursor:
            cursor.at(b"a/x")
            cursor.at(b"a/y")
            cursor.at(b"z")
        with pytest.raises(UnsafePathError):
            folder.open_folder(b"link/x")
        with pytest.raises(FileNotFoundError):
            folder.open_folder(b"a/nothing/x")
        folder.close()
        folder.close()
    with pytest.raises(RemoteUnavailableError):
        Folder(str(tmp_path / "nowhere"))
    assert open_below(tmp_path) == []


@pytest.mark.parametrize("count", [0, 3, 400])
def test_flushing_takes_few_and_many_and_what_is_gone(tmp_path, count):
    (tmp_path / "sub").mkdir()
    paths = [b"sub/%d" % number for number in range(count)]
    for path in paths:
        (tmp_path / os.fsdecode(path)).write_bytes(b"x")
    Folder(str(tmp_path)).flush([*paths, b"", b"sub", b"sub/gone"] if count else [])
    assert open_below(tmp_path) == []


def test_flushing_says_when_it_does_not_work(tmp_path):
    folder = Folder(str(tmp_path))
    folder.close()
    for paths in ([b""], [b"%d" % number for number in range(400)]):
        with pytest.raises(OSError, match="descriptor"):
            folder.flush(paths)
