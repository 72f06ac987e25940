"""The key file of a storage: made once, guarded, grown at a rotation, and what `open_storage` makes of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.key_file import add_key, make_key_file, open_to_others, read_key_file
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.task import Storage, SyncTask, check_task, decode_task, encode_task, with_folders


def test_a_key_is_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    made = make_key_file(tmp_path / "archive.key")
    assert stat.S_IMODE((tmp_path / "archive.key").stat().st_mode) == 0o600
    assert read_key_file(tmp_path / "archive.key") == made
    assert make_key_file(tmp_path / "other.key").names.secret != made.names.secret
    assert len(made.names.secret) == 32


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    made = make_key_file(tmp_path / "archive.key")
    with pytest.raises(UsageError, match="never overwritten") as caught:
        make_key_file(tmp_path / "archive.key")
    assert "--add" in caught.value.hint
    assert read_key_file(tmp_path / "archive.key") == made


def test_a_rotation_keeps_what_was_there_with_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "archive.key"
    first = make_key_file(file)
    file.write_text(file.read_text() + "# the copy is in the safe")
    second = add_key(file)
    assert second.names == first.names
    assert second.newest != first.newest
    assert read_key_file(file) == second
    assert "# the copy is in the safe\n" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "archive.key"
    make_key_file(file)
    file.chmod(mode)
    for read in (read_key_file, add_key):
        with pytest.raises(IntegrityError, match="read by others") as caught:
            read(file)
        assert caught.value.hint == f"chmod 600 {file}"


@pytest.mark.parametrize(
    ("mode", "owner", "is_open"),
    [
        (0o600, 10, False),
        (0o440, 10, True),
        (0o440, 0, False),
        (0o640, 0, False),
        (0o444, 0, True),
        (0o460, 0, True),
    ],
)
def test_a_mounted_secret_may_be_read_by_the_group_of_the_pod(mode: int, owner: int, is_open: bool) -> None:
    assert open_to_others(mode, owner=owner, user=10) is is_open


def test_what_is_not_there_is_said_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as caught:
        read_key_file(tmp_path / "none.key")
    assert "tiers sync keygen" in caught.value.hint
    with pytest.raises(UsageError, match="cannot be written"):
        make_key_file(tmp_path / "no folder" / "x.key")
    with pytest.raises(UsageError, match="cannot be read"):
        add_key(tmp_path / "none.key")


def test_a_file_that_is_no_key_file(tmp_path: Path) -> None:
    file = tmp_path / "x.key"
    file.touch(0o600)
    file.write_bytes(b"\xff" * 100)
    with pytest.raises(IntegrityError, match="line 1 is not a key"):
        read_key_file(file)
    file.write_bytes(b"# \n" * 30_000)
    with pytest.raises(IntegrityError, match="more than 65536 bytes"):
        read_key_file(file)


@pytest.fixture
def place(tmp_path: Path) -> Storage:
    make_key_file(tmp_path / "archive.key")
    (tmp_path / "cold").mkdir()
    return Storage(
        tier="cold",
        url=(tmp_path / "cold").as_uri(),
        layout="packs",
        key_file=str(tmp_path / "archive.key"),
    )


def test_a_storage_with_a_key_is_encrypted(place: Storage, tmp_path: Path) -> None:
    open_storage(place).write("refs/routes/archive/head", b"PATIENT")
    assert open_storage(place).read("refs/routes/archive/head") == b"PATIENT"
    files = [path for path in (tmp_path / "cold").rglob("*") if path.is_file()]
    assert not any(
        b"PATIENT" in path.read_bytes() or "archive" in str(path.relative_to(tmp_path)) for path in files
    )


def test_a_storage_that_lost_its_key_in_the_task_is_not_filled_again_in_the_clear(place: Storage) -> None:
    open_storage(place).write("refs/a", b"x")
    with pytest.raises(UsageError, match="no key was given"):
        open_storage(Storage(tier="cold", url=place.url, layout="packs"))


def test_a_key_and_plain_files_do_not_go_together(place: Storage) -> None:
    source = Storage(tier="warm", url="file:///srv/warm")
    task = SyncTask(route="archive", source=source, targets=(place,))
    assert decode_task(encode_task(check_task(task))) == task
    mirror = Storage(tier="cold", url=place.url, key_file=place.key_file)
    with pytest.raises(IntegrityError, match="keeps files as they are and has a key") as caught:
        check_task(SyncTask(route="archive", source=source, targets=(mirror,)))
    assert "packs" in caught.value.hint


def test_a_folder_that_stands_in_for_a_storage_needs_no_key_of_it(place: Storage, tmp_path: Path) -> None:
    task = SyncTask(route="archive", source=Storage(tier="warm", url="file:///srv/warm"), targets=(place,))
    target = with_folders(task, tmp_path / "from", tmp_path / "to").targets[0]
    assert target == Storage(tier="cold", url=(tmp_path / "to").as_uri(), layout="packs")
