"""A Remote behind a real OpenSSH server: the contract, and what only a line and a server can do to us."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contracts.remote import RemoteContract
from tests.contracts.ssh_server import SshServer
from toolkit.errors import IntegrityError, RemoteRefusedError, RemoteUnavailableError
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.sftp import SftpRemote


@pytest.fixture(scope="module")
def kept(tmp_path_factory, ssh_server):
    """Give a folder with a Remote that stays connected over many tests, by OpenSSH's program or asyncssh."""
    opened: dict[bool, tuple[Path, SftpRemote]] = {}

    def give(*, stand_in: bool) -> SftpRemote:
        if stand_in not in opened:
            folder = tmp_path_factory.mktemp("kept") / "store"
            remote = SftpRemote(ssh_server.login, str(folder), create=True, stand_in=stand_in)
            opened[stand_in] = folder, remote
        folder, remote = opened[stand_in]
        for each in folder.iterdir():
            shutil.rmtree(each)
        return remote

    yield give
    for _, remote in opened.values():
        remote.close()


class TestSftpRemote(RemoteContract):
    @pytest.fixture
    def remote(self, kept):
        return kept(stand_in=False)


@pytest.mark.slow
class TestStandIn(RemoteContract):
    """The same by asyncssh, for machines without OpenSSH's program."""

    @pytest.fixture
    def remote(self, kept, require):
        require("asyncssh")
        return kept(stand_in=True)


@pytest.fixture
def remote(tmp_path, ssh_server):
    (tmp_path / "store").mkdir()
    remote = SftpRemote(ssh_server.login, str(tmp_path / "store"))
    yield remote
    remote.close()


@pytest.mark.slow
def test_large_objects_go_and_come_over_several_connections_at_once(remote):
    data = random.Random(1).randbytes(24 * 1024 * 1024)

    def there_and_back(number: int) -> bool:
        remote.write_new(f"packs/{number}", data)
        return (
            remote.read(f"packs/{number}") == data
            and remote.read(f"packs/{number}", start=7, length=99) == data[7:106]
        )

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(there_and_back, range(3)))


def test_a_folder_that_is_missing_is_not_made_by_itself(tmp_path, ssh_server):
    with pytest.raises(RemoteRefusedError, match="No such file") as caught:
        SftpRemote(ssh_server.login, str(tmp_path / "not mounted"))
    assert "mkdir -p" in caught.value.hint
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RemoteRefusedError, match="is no folder"):
        SftpRemote(ssh_server.login, str(tmp_path / "file"))


def test_drafts_leave_no_trace_and_forgotten_ones_are_cleared(remote, tmp_path):
    drafts = tmp_path / "store/.incoming"
    drafts.mkdir()
    old, young = drafts / "old", drafts / "young"
    for draft in (old, young):
        draft.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    remote.write("refs/a", b"x")
    assert remote.write_new("refs/b", b"x")
    assert not remote.write_new("refs/b", b"y")
    assert [path.name for path in drafts.iterdir()] == ["young"]


def test_a_link_in_the_place_of_an_object_is_not_followed(remote, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"not ours")
    (tmp_path / "store/refs").mkdir()
    (tmp_path / "store/refs/b").symlink_to(secret)
    with pytest.raises(IntegrityError, match="is a link or a folder"):
        remote.read("refs/b")
    assert not remote.exists("refs/b")
    assert list(remote.list()) == []
    remote.write("refs/b", b"mine")  # takes the link's place
    assert secret.read_bytes() == b"not ours"
    assert remote.read("refs/b") == b"mine"


# ---------------------------------------------------------------- lines that break
@pytest.fixture
def own_server(tmp_path, request):
    """Give a server of the test's own, with settings if the test names some."""
    request.getfixturevalue("ssh_server")  # skips where there is no sshd
    server = SshServer(tmp_path / "server", settings=getattr(request, "param", ()))
    server.start()
    yield server
    server.stop()


def test_a_line_that_breaks_is_made_anew(own_server, tmp_path):
    (tmp_path / "store").mkdir()
    remote = SftpRemote(own_server.login, str(tmp_path / "store"))
    remote.write("refs/a", b"1")
    assert own_server.cut() > 0
    patient = open_storage(own_server.storage(tmp_path / "store"))
    patient.write("refs/b", b"2")
    assert own_server.cut() > 0
    assert patient.read("refs/a") == b"1"
    remote.close()


@pytest.mark.faults
def test_a_server_that_goes_in_the_middle_of_a_write_leaves_the_old_state(own_server, tmp_path, wait_until):
    (tmp_path / "store").mkdir()
    remote = SftpRemote(own_server.login, str(tmp_path / "store"))
    remote.write("refs/a", b"old")
    drafts = tmp_path / "store/.incoming"
    failed: list[RemoteUnavailableError] = []

    def write() -> None:
        try:
            for _ in range(1000):
                remote.write("refs/a", bytes(60 * 1024 * 1024))
        except RemoteUnavailableError as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: any(_sizes(drafts)), "the write has begun")
    own_server.stop()
    writer.join()
    assert failed[0].retryable
    assert (tmp_path / "store/refs/a").stat().st_size in {3, 60 * 1024 * 1024}
    own_server.start()
    remote.write("refs/a", b"new")
    assert remote.read("refs/a") == b"new"
    remote.close()


def _sizes(folder: Path) -> list[int]:
    """Give the sizes of files that come and go meanwhile."""
    found = []
    for each in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append(each.stat().st_size)
    return found


def soon(remote: SftpRemote) -> None:
    """Let the connection that is there lose its patience after a second; to make one may take longer."""
    (line,) = remote._connections._idle
    line._patience = 1.0


def test_a_server_that_hangs_is_given_up_in_time(own_server, tmp_path):
    (tmp_path / "store").mkdir()
    remote = SftpRemote(own_server.login, str(tmp_path / "store"))
    soon(remote)
    stopped = own_server.connections()
    for child in stopped:
        os.kill(child, signal.SIGSTOP)
    try:
        with pytest.raises(RemoteUnavailableError, match="no sign of life for 1 s") as caught:
            remote.read("refs/a")
        assert caught.value.retryable
    finally:
        for child in stopped:
            os.kill(child, signal.SIGCONT)
    assert not remote.exists("refs/a")
    remote.close()


# ---------------------------------------------------------------- doors that stay shut
_CHANGED = {
    False: ("host key is not the one that is known", "ssh-keygen -R"),
    True: ("its host key is not known here", "ssh-keyscan"),  # asyncssh does not tell the two apart
}


@pytest.mark.parametrize(
    "stand_in", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["ssh", "asyncssh"]
)
def test_what_ssh_says_becomes_a_reason_and_a_cure(ssh_server, tmp_path, free_port, require, stand_in):
    if stand_in:
        require("asyncssh")
    other = tmp_path / "other"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "x", "-f", str(other)]
    subprocess.run(make, check=True, timeout=60)
    empty, changed = tmp_path / "empty", tmp_path / "changed"
    empty.write_text("")
    empty.chmod(0o600)
    key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    changed.write_text(f"[127.0.0.1]:{ssh_server.port} {key}\n")
    login = ssh_server.login
    for wrong, meaning, cure in (
        (replace(login, known_hosts_file=str(empty)), "its host key is not known here", "ssh-keyscan"),
        (replace(login, known_hosts_file=str(changed)), *_CHANGED[stand_in]),
        (replace(login, key_file=str(other)), "does not take the login", "authorized_keys"),
        (replace(login, key_file=str(empty)), "the private key cannot be read", "ssh-keygen -t ed25519"),
    ):
        with pytest.raises(RemoteRefusedError, match=meaning) as caught:
            SftpRemote(wrong, str(tmp_path), stand_in=stand_in)
        assert cure in caught.value.hint
        assert caught.value.exit_code == 5
    with pytest.raises(RemoteUnavailableError, match="nothing listens there") as caught:
        SftpRemote(replace(login, port=free_port()), str(tmp_path), stand_in=stand_in)
    assert caught.value.retryable


@pytest.mark.parametrize("own_server", [("MaxSessions 10",)], indirect=True)
def test_a_server_without_sftp_is_told_how_to_have_it(own_server, tmp_path):
    with pytest.raises(RemoteRefusedError, match="it has no SFTP") as caught:
        SftpRemote(own_server.login, str(tmp_path))
    assert "Subsystem sftp internal-sftp" in caught.value.hint


# ---------------------------------------------------------------- servers that lie
def odd(how: str) -> tuple[str, ...]:
    program = Path(__file__).parents[3] / "contracts" / "odd_sftp_server.py"
    return (f"Subsystem sftp {sys.executable} -I {program} {how}",)


def _read(remote: SftpRemote) -> object:
    return remote.read("refs/a")


def _list(remote: SftpRemote) -> object:
    return list(remote.list())


_EVERY_DAY = {"huge-packet", "more-data", "slash-name"}


@pytest.mark.parametrize(
    ("own_server", "operation", "says"),
    [
        pytest.param(
            odd(how), operation, says, id=how, marks=[] if how in _EVERY_DAY else [pytest.mark.faults]
        )
        for how, operation, says in (
            ("version-2", _read, "it speaks 2"),
            ("noise", _read, "something else than a first packet"),
            ("huge-packet", _read, "an answer of 2147483648 bytes"),
            ("huge-file", _read, "1125899906842624 bytes to read; at most"),
            ("other-number", _read, "which was not asked"),
            ("cut-facts", _read, "ends in the middle of a number"),
            ("long-handle", _read, "a handle was expected"),
            ("more-data", _read, "bytes of data where at most"),
            ("slash-name", _list, "a folder has the name b'../../etc/passwd'"),
            ("no-name", _list, "a folder has the name b''"),
            ("many-names", _list, "ends in the middle of a number"),
            ("no-names", _list, "does not end after 0 names"),
        )
    ],
    indirect=["own_server"],
)
def test_a_server_that_lies_is_caught(own_server, operation, says):
    def connect_and_try() -> None:
        remote = SftpRemote(own_server.login, "/srv")
        try:
            operation(remote)
        finally:
            remote.close()

    with pytest.raises(IntegrityError, match=says):
        connect_and_try()


@pytest.mark.parametrize("own_server", [odd("little-data")], indirect=True)
def test_a_server_that_gives_little_at_a_time_is_asked_for_little(own_server):
    remote = SftpRemote(own_server.login, "/srv")
    assert remote.read("refs/a") == bytes(range(256)) * 400
    assert remote.read("refs/a", start=100_000, length=9000) == (bytes(range(256)) * 400)[100_000:]
    remote.close()


@pytest.mark.parametrize("own_server", [odd("lacks")], indirect=True)
def test_a_server_that_cannot_store_safely_is_refused_with_what_it_lacks(own_server):
    lacks = "lacks posix-rename@openssh.com, hardlink@openssh.com"
    with pytest.raises(RemoteRefusedError, match=lacks) as caught:
        SftpRemote(own_server.login, "/srv")
    assert "internal-sftp" in caught.value.hint


@pytest.mark.parametrize("own_server", [odd("full")], indirect=True)
def test_a_full_disk_is_told_from_other_failures(own_server):
    remote = SftpRemote(own_server.login, "/srv")
    with pytest.raises(RemoteRefusedError, match="no space is left there") as caught:
        remote.write("refs/a", b"x")
    assert not caught.value.retryable
    remote.close()


@pytest.mark.faults
@pytest.mark.parametrize("own_server", [odd("silent")], indirect=True)
def test_a_server_that_falls_silent_is_given_up_in_time(own_server):
    remote = SftpRemote(own_server.login, "/srv")
    soon(remote)
    with pytest.raises(RemoteUnavailableError, match="no sign of life"):
        remote.read("refs/a")
