"""A disk that is full at each stage of a sync: it is said before or while it happens, and no draft is left about.

With more room the next run goes on from what has arrived; a collection makes room on a disk that has none. The target
lies on a small tmpfs of its own.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.toolkit.sync.trees import photograph, storage, task_of
from toolkit.errors import RemoteUnavailableError
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_remote
from toolkit.sync.retention import Keep
from toolkit.sync.run import run_task
from toolkit.sync.verify import verify_packs

MIB = 1024 * 1024
FILES = 40


def sized(folder: Path, size: int, *, again: bool = False) -> None:
    options = f"size={size}" + (",remount" if again else "")
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True, capture_output=True
    )


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    try:
        sized(folder, 4 * MIB)
    except subprocess.CalledProcessError:
        pytest.skip("needs hardware: a kernel in which this user may mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a test that failed may still hold it


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "edge/frames"
    folder.mkdir(parents=True)
    draw = random.Random(4)
    for number in range(FILES):
        (folder / f"{number:02}").write_bytes(draw.randbytes(MIB))
    return folder


def left_about(disk: Path) -> list[str]:
    return sorted(str(path) for path in disk.rglob(".incoming/*"))


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    "room",
    [
        pytest.param(0.05, id="at-once", marks=pytest.mark.faults),
        pytest.param(20, id="first-pack"),
        pytest.param(38, id="second-pack", marks=pytest.mark.faults),
        pytest.param(41.2, id="documents", marks=pytest.mark.faults),
    ],
)
def test_packs_say_it_and_go_on_when_there_is_room(tmp_path, disk, room):
    sized(disk, int(room * MIB), again=True)
    task = task_of(tmp_path, storage(disk, "packs"))
    result = run_task(task).targets[0]
    assert result.exit_code in {0, 5}
    if result.exit_code:
        assert "No space left on device" in result.error
        assert "free some space there and run it again" in result.hint
    else:
        assert room > FILES
    assert left_about(disk) == []
    there = (
        sum(path.stat().st_size for path in (disk / "packs").iterdir()) if (disk / "packs").exists() else 0
    )
    sized(disk, 64 * MIB, again=True)
    again = run_task(task).targets[0]
    assert again.exit_code == 0
    assert again.bytes_moved <= FILES * MIB * 1.01 - there * 0.99  # nothing that has arrived is sent again
    assert left_about(disk) == []
    assert verify_packs(PackStore(open_remote(disk.as_uri()))) == []


def test_a_mirror_says_it_before_it_begins(tmp_path, disk, source):
    sized(disk, 20 * MIB, again=True)
    task = task_of(tmp_path, storage(disk))
    result = run_task(task).targets[0]
    assert result.exit_code == 5
    assert "bytes are to be written and" in result.error
    assert "free some space there and run it again" in result.hint
    assert photograph(disk) == {}
    assert not any(path.is_file() for path in disk.rglob("partial/**/*"))
    sized(disk, 64 * MIB, again=True)
    assert run_task(task).exit_code == 0
    assert photograph(disk / "frames") == photograph(source)


def fill(disk: Path) -> Path:
    """Take all room that there is."""
    filler = disk / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        for piece in (MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    os.write(descriptor, bytes(piece))
    finally:
        os.close(descriptor)
    assert os.statvfs(disk).f_bavail == 0
    return filler


def test_a_collection_on_a_full_disk_makes_room_if_it_has_been_there_before(tmp_path, disk, source):
    sized(disk, 96 * MIB, again=True)
    task = task_of(tmp_path, storage(disk, "packs"))
    rules = Rules(grace_seconds=0, keep=Keep(last=1))
    assert run_task(task).exit_code == 0
    for path in sorted(source.iterdir())[4:]:
        path.unlink()
    (source / "new").write_bytes(b"new")
    assert run_task(task).exit_code == 0
    store = PackStore(open_remote(disk.as_uri()))
    filler = fill(disk)
    with pytest.raises(RemoteUnavailableError, match="No space left"):
        collect(store, rules)
    assert verify_packs(PackStore(open_remote(disk.as_uri()))) == []
    filler.unlink()
    assert collect(store, rules).waiting > 0
    fill(disk)
    done = collect(store, Rules(grace_seconds=0, repack_below=0))
    assert done.deleted_bytes > 20 * MIB
    assert verify_packs(PackStore(open_remote(disk.as_uri()))) == []
    assert left_about(disk) == []
