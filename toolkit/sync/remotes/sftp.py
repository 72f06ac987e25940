"""A Remote on a machine that OpenSSH reaches: objects as files below one folder there, as DirectoryRemote keeps them.

An object is written to `.incoming/`, flushed, and renamed (posix-rename) or linked (hardlink, which fails when the name
is there) to its place; then the file is flushed once more through its open handle, because a folder cannot be flushed
over SFTP: on ext4, XFS and btrfs that carries the new name to the disk too. `choose` opens it, `ssh` carries its words.
Links on the way to the folder are the server's affair: let it lock the user into a folder (ChrootDirectory).
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from toolkit.errors import (
    IntegrityError,
    MissingObjectError,
    RemoteRefusedError,
    RemoteUnavailableError,
    TiersError,
)
from toolkit.sync.remotes import sftp_wire as wire
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, check_key, check_prefix, is_key
from toolkit.sync.remotes.sftp_wire import Answer, Facts
from toolkit.sync.remotes.ssh import Conversation
from toolkit.sync.remotes.ssh_command import Login

_DRAFTS = ".incoming"
_FORGOTTEN_SECONDS = 24 * 3600
"""A draft so old, by the server's clock, was left by a writer that died; over SFTP nobody can hold a lock."""
_MOST_CONNECTIONS = 4
_MOST_NAMES = 5_000_000
"""More objects in one folder than a petabyte in packs; a server that goes on for ever ends here."""
_FOLDER_PARTS_AT_ONCE = 8
_READS_ANEW = 8
_NEEDED = (wire.FSYNC, wire.RENAME, wire.LINK)


class SftpRemote:
    """Objects as files below a folder of another machine."""

    def __init__(
        self,
        login: Login,
        folder: str,
        *,
        create: bool = False,
        patience: float = 60.0,
        stand_in: bool = False,
    ) -> None:
        """Connect and look at the folder.

        Args:
            login: where the machine is, and how to get in.
            folder: absolute path there.
            create: make the folder when it is missing. Off by default: an empty mount point must not be filled.
            patience: seconds without a sign of life after which the other side counts as gone.
            stand_in: use asyncssh although OpenSSH's program is here; where it is not, asyncssh is used anyway.

        Raises:
            RemoteUnavailableError: it cannot be reached, lets nobody in, or does not have the folder.
            UsageError: ssh is not installed.
        """
        self._address = login.address
        self._root = folder.rstrip("/")
        self._cleaned = False
        self._connections = _Connections(partial(connect, login, patience, stand_in=stand_in))
        self._end = weakref.finalize(self, self._connections.close)
        with self._connections.one() as line:
            if create:
                self._make_folders(line, self._root)
            (answer,) = line.ask([wire.by_path(wire.STAT, self._root or "/")])
            if answer.kind != wire.ATTRS or not answer.facts.is_folder:
                reason = "is no folder" if answer.kind == wire.ATTRS else answer.message
                raise RemoteRefusedError(
                    f"{self.url}: {reason}", hint="mount it there, or make it with mkdir -p"
                )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"sftp://{self._address}{self._root}"

    def close(self) -> None:
        """End the connections; the next operation would make a new one."""
        self._connections.close()

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`."""
        path = self._path(check_key(key))
        with self._connections.one() as line:
            for _ in range(_READS_ANEW):
                facts, opened = line.ask(
                    [wire.by_path(wire.LSTAT, path), wire.open_file(path, wire.FOR_READING)]
                )
                if opened.kind != wire.HANDLE:
                    raise self._error(opened, key, reading=True)
                handle = opened.handle
                data = self._read_open(line, key, handle, facts, start, length, limit)
                if data is not None:
                    return data
        raise RemoteUnavailableError(f"{self.url}/{key} changes faster than it is read", hint="run it again")

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        self._store(key, data, wire.RENAME)

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new`."""
        return not self.exists(key) and self._store(key, data, wire.LINK)

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        with self._connections.one() as line:
            return self._is_there(line, check_key(key))

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in the order of the keys; see `Remote.list`."""
        yield from self._walk(check_prefix(prefix))

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        with self._connections.one() as line:
            (answer,) = line.ask([wire.by_path(wire.REMOVE, self._path(check_key(key)))])
        if answer.fails_with(wire.NO_SUCH_FILE):
            return False
        self._expect(answer, key)
        return True

    # ------------------------------------------------------------ reading
    def _read_open(
        self,
        line: Conversation,
        key: str,
        handle: bytes,
        looked: Answer,
        start: int,
        length: int | None,
        limit: int,
    ) -> bytes | None:
        """Read an open file and close it; None when it is not the one that was looked at, or came in smaller pieces."""
        close = wire.by_handle(wire.CLOSE, handle)
        try:
            wanted = self._wanted(looked, key, start, length, limit)
        except TiersError:
            line.ask([close])
            raise
        buffer = bytearray(wanted)
        view, step = memoryview(buffer), line.most_read
        reads = [wire.read_at(handle, start + at, view[at : at + step]) for at in range(0, wanted, step)]
        facts, *pieces, _ = line.ask([wire.by_handle(wire.FSTAT, handle), *reads, close])
        if self._wanted(facts, key, start, length, limit) != wanted:
            return None
        for request, piece in zip(reads, pieces, strict=True):
            if piece.kind != wire.DATA and not piece.fails_with(wire.END):
                raise self._error(piece, key, reading=True)
            if piece.kind != wire.DATA or piece.number != len(request.into or b""):
                # A server may give less than was asked for; then smaller pieces are asked for from now on.
                line.most_read = max(512, piece.number if piece.kind == wire.DATA else line.most_read // 2)
                return None
        return bytes(buffer)

    def _wanted(self, answer: Answer, key: str, start: int, length: int | None, limit: int) -> int:
        if answer.kind != wire.ATTRS:
            raise self._error(answer, key, reading=True)
        if not answer.facts.is_file:
            raise IntegrityError(f"{self.url}/{key} is a link or a folder; objects are plain files")
        wanted = max(0, answer.facts.size - start)
        wanted = wanted if length is None else min(wanted, length)
        if wanted > limit:
            raise IntegrityError(f"{self.url}/{key}: {wanted} bytes to read; at most {limit} are")
        return wanted

    def _is_there(self, line: Conversation, key: str) -> bool:
        (answer,) = line.ask([wire.by_path(wire.LSTAT, self._path(key))])
        if answer.fails_with(wire.NO_SUCH_FILE):
            return False
        if answer.kind != wire.ATTRS:
            raise self._error(answer, key)
        return answer.facts.is_file

    def _walk(self, prefix: str) -> Iterator[Found]:
        found: list[tuple[str, Facts | None]] = []
        with self._connections.one() as line:
            for name, facts in self._entries(line, prefix.rstrip("/")):
                if is_key(name):
                    if facts.is_folder:
                        found.append((name + "/", None))
                    elif facts.is_file:
                        found.append((name, facts))
        for name, facts_of_file in sorted(found, key=lambda each: each[0]):
            if facts_of_file is None:
                yield from self._walk(prefix + name)
            else:
                yield Found(prefix + name, facts_of_file.size, facts_of_file.mtime * 1000)

    def _entries(self, line: Conversation, folder: str) -> Iterator[tuple[str, Facts]]:
        """Give what is in a folder, nothing when there is none; at the end it is closed."""
        (opened,) = line.ask([wire.by_path(wire.OPENDIR, self._path(folder))])
        if opened.fails_with(wire.NO_SUCH_FILE):
            return
        if opened.kind != wire.HANDLE:
            raise self._error(opened, folder)
        handle, seen, at_end = opened.handle, 0, False
        while not at_end:
            for answer in line.ask([wire.by_handle(wire.READDIR, handle)] * _FOLDER_PARTS_AT_ONCE):
                if answer.kind == wire.STATUS:
                    at_end = True
                    if not answer.fails_with(wire.END):
                        raise self._error(answer, folder)
                    continue
                names = answer.names
                seen += len(names)
                if not names or seen > _MOST_NAMES:
                    raise wire.broken(f"the folder {folder!r} does not end after {seen} names")
                for name, facts in names:
                    yield name.decode("utf-8", "replace"), facts
        line.ask([wire.by_handle(wire.CLOSE, handle)])

    # ------------------------------------------------------------ writing
    def _store(self, key: str, data: bytes, how: str) -> bool:
        """Write a draft, flush it and give it its name; False when it was to be new and the name is taken."""
        path = self._path(check_key(key))
        draft = f"{self._root}/{_DRAFTS}/{secrets.token_hex(12)}"
        with self._connections.one() as line:
            handle = self._open_draft(line, draft, key)
            done = False
            try:
                self._fill(line, handle, data, key)
                named = self._name(line, handle, draft, path, how)
                if how == wire.LINK and not named.is_ok and self._is_there(line, key):
                    return False
                self._expect(named, key)
                done = how == wire.RENAME
            finally:
                tidy = [wire.by_handle(wire.CLOSE, handle)]
                tidy += [] if done else [wire.by_path(wire.REMOVE, draft)]
                if line.is_alive:
                    line.ask(tidy)
        return True

    def _open_draft(self, line: Conversation, draft: str, key: str) -> bytes:
        flags = wire.FOR_WRITING | wire.NEW | wire.ONLY_NEW
        (answer,) = line.ask([wire.open_file(draft, flags)])
        if answer.fails_with(wire.NO_SUCH_FILE):
            self._make_folders(line, f"{self._root}/{_DRAFTS}", below=self._root)
            (answer,) = line.ask([wire.open_file(draft, flags)])
        if answer.kind != wire.HANDLE:
            raise self._error(answer, key)
        handle = answer.handle
        self._clean(line, handle)
        return handle

    def _fill(self, line: Conversation, handle: bytes, data: bytes, key: str) -> None:
        view, step = memoryview(data), line.most_written
        writes = [wire.write_at(handle, at, view[at : at + step]) for at in range(0, len(view), step)]
        for answer in line.ask([*writes, wire.extended(wire.FSYNC, handle)]):
            if not answer.is_ok and not answer.fails_with(wire.PERMISSION_DENIED):
                raise self._no_room(line, answer, key)
            self._expect(answer, key)

    def _name(self, line: Conversation, handle: bytes, draft: str, path: str, how: str) -> Answer:
        """Let the draft appear under its name, and flush that; make the folders on the way when they are missing."""
        requests = [wire.extended(how, draft, path), wire.extended(wire.FSYNC, handle)]
        named, flushed = line.ask(requests)
        if named.fails_with(wire.NO_SUCH_FILE):
            self._make_folders(line, path.rpartition("/")[0], below=self._root)
            named, flushed = line.ask(requests)
        if how == wire.LINK and named.fails_with(wire.UNSUPPORTED):
            hint = "keep the store on a file system with hard links, such as ext4, XFS or NFS"
            raise RemoteRefusedError(f"{self.url}: its file system knows no hard links", hint=hint)
        return named if not named.is_ok else flushed

    def _make_folders(self, line: Conversation, path: str, below: str = "") -> None:
        """Make a folder and those above it, as far as `below`. What is there already stays; nobody else is told."""
        parts = path.removeprefix(below).strip("/").split("/")
        ways = [f"{below}/{'/'.join(parts[: each + 1])}" for each in range(len(parts))]
        line.ask([wire.make_folder(way) for way in ways if way != "/"])

    def _clean(self, line: Conversation, handle: bytes) -> None:
        """Remove, once, what writers left behind that died long ago; the new draft's time is the server's clock."""
        if self._cleaned:
            return
        self._cleaned = True
        (answer,) = line.ask([wire.by_handle(wire.FSTAT, handle)])
        now = answer.facts.mtime
        old = [
            f"{self._root}/{_DRAFTS}/{name}"
            for name, facts in self._entries(line, _DRAFTS)
            if facts.is_file and now - facts.mtime > _FORGOTTEN_SECONDS
        ]
        line.ask([wire.by_path(wire.REMOVE, path) for path in old])

    # ------------------------------------------------------------ words
    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _expect(self, answer: Answer, key: str) -> None:
        if not answer.is_ok:
            raise self._error(answer, key)

    def _no_room(self, line: Conversation, answer: Answer, key: str) -> TiersError:
        """Explain why a write failed: version 3 has no code for a full disk, so the server is asked for its room."""
        if wire.ROOM in line.extensions:
            (room,) = line.ask([wire.extended(wire.ROOM, self._root or "/")])
            if room.kind == wire.EXTENDED_REPLY and wire.read_longs(room, 5)[4] == 0:  # f_bavail
                hint = "free some space there and run it again; what has arrived is kept"
                return RemoteRefusedError(f"{self.url}/{key}: no space is left there", hint=hint)
        return self._error(answer, key)

    def _error(self, answer: Answer, key: str, *, reading: bool = False) -> TiersError:
        where = f"{self.url}/{key}"
        if reading and answer.fails_with(wire.NO_SUCH_FILE):
            return MissingObjectError(f"{self.url} has no {key or 'folder'}")
        if answer.kind != wire.STATUS:
            return wire.broken(f"an answer of type {answer.kind} for {where}")
        if answer.fails_with(wire.PERMISSION_DENIED):
            return RemoteRefusedError(f"{where}: {answer.message}", hint="let this user read and write there")
        if answer.number in {wire.NO_CONNECTION, wire.CONNECTION_LOST}:
            return RemoteUnavailableError(f"{where}: {answer.message}", hint="run it again")
        return RemoteRefusedError(f"{where}: {answer.message}", hint="look at the disk and the folder there")


def connect(login: Login, patience: float, *, stand_in: bool) -> Conversation:
    """Make a connection to a server that can keep a store. Errors as in `SftpRemote`."""
    line = Conversation(login, patience=patience, stand_in=stand_in)
    missing = [name for name in _NEEDED if name not in line.extensions]
    if missing:
        line.close()
        raise RemoteRefusedError(
            f"sftp://{login.address} lacks {', '.join(missing)}, without which nothing is stored safely",
            hint="use the SFTP server of OpenSSH 6.5 or newer: Subsystem sftp internal-sftp",
        )
    return line


class _Connections:
    """A few connections, each for one thread at a time; one that broke is not used again."""

    def __init__(self, connect: Callable[[], Conversation]) -> None:
        self._connect = connect
        self._idle: list[Conversation] = []
        self._free = threading.Semaphore(_MOST_CONNECTIONS)

    @contextmanager
    def one(self) -> Iterator[Conversation]:
        with self._free:
            line = self._take() or self._connect()
            try:
                yield line
            finally:
                if line.is_alive:
                    self._idle.append(line)
                else:
                    line.close()

    def _take(self) -> Conversation | None:
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:  # another thread took the last one
                return None
            if line.is_alive:
                return line
            line.close()
        return None

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
