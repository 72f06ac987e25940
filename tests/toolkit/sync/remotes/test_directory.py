"""A Remote in a folder: the contract, and what only a folder can suffer: links, drafts of the dead, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.contracts.remote import RemoteContract
from toolkit.errors import IntegrityError, RemoteUnavailableError, UnsafePathError
from toolkit.sync.remotes.directory import DirectoryRemote


class TestDirectoryRemote(RemoteContract):
    @pytest.fixture
    def remote(self, tmp_path):
        return DirectoryRemote(str(tmp_path / "a folder"), create=True)


def test_a_folder_that_is_missing_is_not_made_by_itself(tmp_path):
    with pytest.raises(RemoteUnavailableError, match="No such file") as caught:
        DirectoryRemote(str(tmp_path / "not mounted"))
    assert caught.value.exit_code == 5
    assert "mkdir" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_its_url_leads_back_to_it(tmp_path):
    from toolkit.sync.remotes.choose import open_remote

    remote = DirectoryRemote(str(tmp_path / "with space"), create=True)
    remote.write("refs/a", b"x")
    assert open_remote(remote.url).read("refs/a") == b"x"


def test_nothing_is_written_or_read_through_a_link_to_a_folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"not ours")
    remote = DirectoryRemote(str(tmp_path / "store"), create=True)
    (tmp_path / "store" / "refs").symlink_to(outside)
    for operation in (
        lambda: remote.write("refs/a", b"x"),
        lambda: remote.write_new("refs/b", b"x"),
        lambda: remote.read("refs/secret"),
        lambda: remote.delete("refs/secret"),
    ):
        with pytest.raises(UnsafePathError, match="'refs' on the way is a link"):
            operation()
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert list(remote.list()) == []


def test_a_link_in_the_place_of_an_object_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"not ours")
    remote = DirectoryRemote(str(tmp_path / "store"), create=True)
    remote.write("refs/a", b"x")
    (tmp_path / "store/refs/b").symlink_to(secret)
    with pytest.raises(IntegrityError, match="is a link"):
        remote.read("refs/b")
    assert not remote.exists("refs/b")
    remote.write("refs/b", b"mine")  # takes the link's place
    assert secret.read_bytes() == b"not ours"
    assert remote.read("refs/b") == b"mine"


def test_a_pipe_in_the_place_of_an_object_does_not_make_us_wait(tmp_path):
    remote = DirectoryRemote(str(tmp_path), create=True)
    (tmp_path / "refs").mkdir()
    os.mkfifo(tmp_path / "refs/a")
    with pytest.raises(IntegrityError, match="not a plain file"):
        remote.read("refs/a")


def test_drafts_leave_no_trace_and_forgotten_ones_are_cleared(tmp_path):
    drafts = tmp_path / ".incoming"
    drafts.mkdir()
    old, young = drafts / "123-old", drafts / "123-young"
    for draft in (old, young):
        draft.write_bytes(b"half")
    os.utime(old, (time.time() - 3600, time.time() - 3600))
    remote = DirectoryRemote(str(tmp_path))
    assert list(remote.list()) == []
    remote.write("refs/a", b"x")
    assert [path.name for path in drafts.iterdir()] == ["123-young"]


def test_a_draft_that_somebody_still_writes_is_left_alone_however_old(tmp_path):
    import fcntl

    (tmp_path / ".incoming").mkdir()
    draft = tmp_path / ".incoming/1-slow"
    with draft.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.utime(draft, (0, 0))
        DirectoryRemote(str(tmp_path)).write("refs/a", b"x")
        assert draft.exists()


_FILLS_UP = """
import resource, sys
from toolkit.errors import RemoteUnavailableError
from toolkit.sync.remotes.directory import DirectoryRemote
remote = DirectoryRemote(sys.argv[1])
remote.write("refs/a", b"the old one")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    remote.write("refs/a", bytes(5000))
except RemoteUnavailableError as error:
    print(error.exit_code, error.message)
"""


def test_when_the_disk_takes_no_more_the_old_state_stays_and_no_draft(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FILLS_UP, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    assert done.stdout.startswith("5 "), done.stdout + done.stderr
    assert "refs/a" in done.stdout
    assert DirectoryRemote(str(tmp_path)).read("refs/a") == b"the old one"
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_objects_that_are_laid_out_together_get_their_keys_at_the_end(tmp_path):
    remote = DirectoryRemote(str(tmp_path / "store"), create=True)
    remote.write("indexes/b", b"two")
    objects = {"indexes/a": b"one", "indexes/b": b"two", "refs/deep/c": b""}
    with remote.laid_out(objects.items()) as drafts:
        remote.flush(drafts)
        assert [(tmp_path / "store" / os.fsdecode(path)).read_bytes() for path in drafts] == [
            b"one",
            b"two",
            b"",
        ]
        assert [found.key for found in remote.list()] == ["indexes/b"]
    assert {found.key: remote.read(found.key) for found in remote.list()} == objects
    with pytest.raises(KeyboardInterrupt), remote.laid_out([("indexes/d", b"four")]):
        raise KeyboardInterrupt
    assert not remote.exists("indexes/d")
    assert list((tmp_path / "store/.incoming").iterdir()) == []
    remote.delete_all(["indexes/b", "refs/deep/c", "refs/none", "nothing/at/all"])
    assert [found.key for found in remote.list()] == ["indexes/a"]


def test_nothing_is_laid_out_or_removed_through_a_link_to_a_folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"not ours")
    remote = DirectoryRemote(str(tmp_path / "store"), create=True)
    (tmp_path / "store" / "refs").symlink_to(outside)
    with (
        pytest.raises(UnsafePathError, match="'refs' on the way is a link"),
        remote.laid_out([("refs/a", b"x")]),
    ):
        pass
    with pytest.raises(UnsafePathError, match="'refs' on the way is a link"):
        remote.delete_all(["refs/secret"])
    assert [path.name for path in outside.iterdir()] == ["secret"]
