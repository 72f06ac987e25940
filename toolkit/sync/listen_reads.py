"""Answer the readers of one pod on a Unix socket: a path a line comes in, a line of JSON goes back.

Between `cloud_jobs.prefetch --socket` and `prefetch`, as `serve_reads` is for a pipe. Each connection has a thread of
its own, so that who asks for what is there never waits for a file that somebody else needs; one more thread looks ahead
while nobody needs one. What a reader sends is bounded before it is read: lines, and connections at once.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from toolkit.errors import RemoteUnavailableError, TiersError, UsageError
from toolkit.sync.prefetch import Prefetcher
from toolkit.sync.read import join
from toolkit.sync.serve_reads import Answer
from toolkit.wire.paths import shown

MOST_READERS = 256
"""So many connections are open at once; one more waits until one of them ends."""
LONGEST_LINE = 4096
"""Bytes of a line: no path of Linux is longer (PATH_MAX)."""
LONGEST_ADDRESS = 107
"""Bytes of a socket's path (sun_path of unix(7), without the zero at its end)."""
_OWNER_ONLY = 0o600
_LOOK_UP_SECONDS = 0.2
"""So often it is asked whether to stop."""


@contextmanager
def listening(
    prefetcher: Prefetcher, address: Path, *, below: bytes = b"", remember_seconds: float = 300.0
) -> Iterator[None]:
    """Answer on a socket that only this user can open, for the length of a `with`.

    Args:
        prefetcher: brings files; closing it is for the caller.
        address: where the socket is made. One that a killed process has left there is taken away.
        below: what stands before each path that comes in.
        remember_seconds: so often the order is kept, for the case that this process is killed.

    Raises:
        UsageError: the address is too long, something else is there, or somebody listens there already.
        RemoteUnavailableError: the folder of the address cannot be written.
    """
    listener = _listener(address)
    readers = _Readers(prefetcher, listener, below, remember_seconds)
    threads = [
        threading.Thread(target=readers.accept, name="readers", daemon=True),
        threading.Thread(target=readers.look_ahead, name="ahead", daemon=True),
    ]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        readers.stop.set()
        threads[0].join()
        listener.close()
        address.unlink(missing_ok=True)


class _Readers:
    """Everybody who is connected, and the thread that looks ahead for them."""

    def __init__(
        self, prefetcher: Prefetcher, listener: socket.socket, below: bytes, remember_seconds: float
    ) -> None:
        self.stop = threading.Event()
        self._remember_seconds = remember_seconds
        self._prefetcher, self._listener, self._below = prefetcher, listener, below
        self._room = threading.BoundedSemaphore(MOST_READERS)
        self._read = threading.Event()
        """Somebody has read something since it was last looked ahead."""

    def accept(self) -> None:
        """Let readers in until `stop`, as many as there is room for; the others wait at the door."""
        while not self.stop.is_set():
            if not self._room.acquire(timeout=_LOOK_UP_SECONDS):
                continue
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:  # nobody came
                self._room.release()
                continue
            except OSError:  # no descriptor is free
                self._room.release()
                self.stop.wait(_LOOK_UP_SECONDS)
                continue
            connection.settimeout(None)
            threading.Thread(target=self._serve, args=(connection,), name="reader", daemon=True).start()

    def look_ahead(self) -> None:
        """Bring what comes next, whenever nobody needs anything, until `stop`."""
        kept_at = time.monotonic()
        while not self.stop.is_set():
            if self._prefetcher.look_ahead():
                continue
            if self._read.wait(_LOOK_UP_SECONDS):
                self._read.clear()
            if time.monotonic() - kept_at >= self._remember_seconds:
                kept_at = time.monotonic()
                with suppress(TiersError):  # the storage is silent; later then
                    self._prefetcher.remember()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                while not self.stop.is_set() and (line := lines.readline(LONGEST_LINE + 1)):
                    if len(line) > LONGEST_LINE:
                        _send(connection, _failed("", "the line is too long", "ask for a path a line"))
                        return
                    if line.strip():
                        _send(connection, self._answer(line.rstrip(b"\r\n").strip(b"/")))
        except OSError:  # the reader has gone
            return
        finally:
            self._room.release()

    def _answer(self, path: bytes) -> Answer:
        whole = join(self._below, path)
        try:
            needed = self._prefetcher.need(whole)
        except TiersError as error:
            return _failed(shown(whole), error.message, error.hint)
        finally:
            self._read.set()
        return Answer(needed.path, needed.state, needed.seconds)


def _failed(path: str, error: str, hint: str) -> Answer:
    return Answer(path, "failed", error=error, hint=hint)


def _send(connection: socket.socket, answer: Answer) -> None:
    with suppress(OSError):  # the reader has gone
        connection.sendall(msgspec.json.encode(answer) + b"\n")


def _listener(address: Path) -> socket.socket:
    if len(os.fsencode(address)) > LONGEST_ADDRESS:
        raise UsageError(
            f"{address} is too long for a socket",
            hint=f"at most {LONGEST_ADDRESS} bytes, such as /run/tiers/reads.sock",
        )
    _clear(address)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux takes the mode of the file from the socket, so that nobody else can connect in between.
        os.fchmod(listener.fileno(), _OWNER_ONLY)
        listener.bind(os.fsencode(address))
        listener.listen(MOST_READERS)
        listener.settimeout(_LOOK_UP_SECONDS)
    except OSError as error:
        listener.close()
        raise RemoteUnavailableError(
            f"cannot listen on {address}: {error.strerror}", hint="name a folder that this user can write"
        ) from error
    return listener


def _clear(address: Path) -> None:
    """Take away what a killed process has left."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(address.lstat().st_mode):
            raise UsageError(f"{address} is there and no socket", hint="name another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(os.fsencode(address))
            except OSError:
                address.unlink()
                return
        raise UsageError(f"somebody listens on {address} already", hint="one process for each socket")
