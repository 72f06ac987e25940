"""A conversation with an SFTP server through the program `ssh`: one process, three pipes, many requests in flight.

`sftp` asks, `sftp_wire` knows the bytes, `ssh_words` explains what ssh says when it ends. OpenSSH's program encrypts
two to three times as much per CPU second as a library in Python would, and many people watch over it.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NoReturn

from toolkit.sync.remotes import sftp_wire as wire
from toolkit.sync.remotes.sftp_wire import Answer, Request
from toolkit.sync.remotes.ssh_command import Login, command_of, in_memory
from toolkit.sync.remotes.ssh_words import explain

_IN_FLIGHT = 64
"""Requests without an answer: 16 MiB, which fills 80 ms of a line of 200 MB/s."""
_PIPE_BYTES = 1 << 20
_PIPES_BEHIND = 4
_WORDS_BYTES = 8192
_END_SECONDS = 5.0
_CONNECT_SECONDS = 20.0


class Conversation:
    """One connection. For one thread at a time; after an error it is over."""

    def __init__(self, login: Login, *, patience: float = 60.0, stand_in: bool = False) -> None:
        """Connect, log in and exchange versions.

        Args:
            login: where to and how.
            patience: seconds without any sign from the other side after which it counts as gone.
            stand_in: use asyncssh although ssh is here.

        Raises:
            RemoteUnavailableError: no connection came about; the hint says how to mend it.
            UsageError: ssh is not installed, or host or user cannot be.
            IntegrityError: what answers is no SFTP server.
        """
        self._login, self._patience = login, patience
        self._number = 0
        self._words = b""
        self._open: dict[int, Request] = {}
        self._answers: dict[int, Answer] = {}
        self._key = -1
        limit = min(patience, _CONNECT_SECONDS)
        command_of(login, patience=limit)  # what cannot be is said before a key is anywhere
        if login.key:
            self._key = in_memory(login.key)
        self._process = subprocess.Popen(
            command_of(login, patience=limit, key_file=self._key_file, stand_in=stand_in),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us: ssh would end before we have told the server anything
        )
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._pipes = [pipe for pipe in pipes if pipe is not None]
        self._in, self._out, self._err = (pipe.fileno() for pipe in self._pipes)
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)
            if hasattr(fcntl, "F_SETPIPE_SZ") and descriptor != self._err:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._poll.register(self._err, select.POLLIN)
        self._hears_words = True
        self._over = False
        self.most_read = self.most_written = wire.SURE_DATA_BYTES
        """Most bytes in one request, as the server says."""
        try:
            self.extensions: Mapping[str, bytes] = self._greet()
            self._ask_limits()
        except BaseException:
            self.close()
            raise
        finally:
            if self._key >= 0:
                os.close(self._key)

    @property
    def _key_file(self) -> str:
        """Where ssh finds a key of our memory; it closes every descriptor that it inherits."""
        return f"/proc/{os.getpid()}/fd/{self._key}" if self._key >= 0 else ""

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked more."""
        return not self._over and self._process.poll() is None

    def close(self) -> None:
        """End ssh. Nothing that was answered is undone by it."""
        if self._over:
            return
        self._over = True
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            pipe.close()

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Send requests, many at a time, and give their answers in the same order.

        Raises:
            RemoteUnavailableError: the connection has ended, or nothing came for too long.
            IntegrityError: an answer is none, is too long, or fits no request.
        """
        try:
            return self._ask(requests)
        except BaseException:  # an interrupt too: what is still on its way would be taken for later answers
            self.close()
            raise

    def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        first = self._number
        waiting = deque(requests)
        outgoing: deque[memoryview] = deque()
        incoming = _Incoming(self._open, self._answers)
        quiet_since = time.monotonic()
        while waiting or self._open:
            while waiting and len(self._open) < _IN_FLIGHT and len(outgoing) < 2 * _PIPES_BEHIND:
                request = waiting.popleft()
                self._open[self._number] = request
                outgoing.append(memoryview(request.start(self._number)))
                if request.data:
                    outgoing.append(memoryview(request.data))
                self._number = (self._number + 1) & 0x7FFFFFFF
            moved = self._send(outgoing) if outgoing else False
            if self._await(outgoing, 0.0 if moved else self._patience - (time.monotonic() - quiet_since)):
                moved |= self._receive(incoming)
            if moved:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= self._patience:
                self._fail(f"no sign of life for {self._patience:g} s")
        return [self._answers.pop((first + each) & 0x7FFFFFFF) for each in range(len(requests))]

    def _await(self, outgoing: deque[memoryview], seconds: float) -> bool:
        """Wait until something can be sent or received; tell whether it is the latter. Keep what ssh says."""
        self._poll.register(self._in, select.POLLOUT if outgoing else 0)
        ready = {descriptor for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000)}
        if self._err in ready:
            self._listen()
        return self._out in ready

    def _send(self, outgoing: deque[memoryview]) -> bool:
        try:
            sent = os.writev(self._in, [outgoing[each] for each in range(min(len(outgoing), _PIPES_BEHIND))])
        except BlockingIOError:
            return False
        except BrokenPipeError:
            self._fail("")
        while sent:
            if sent < len(outgoing[0]):
                outgoing[0] = outgoing[0][sent:]
                break
            sent -= len(outgoing.popleft())
        return True

    def _receive(self, incoming: _Incoming) -> bool:
        try:
            count = os.readv(self._out, incoming.room)
        except BlockingIOError:
            return False
        if not count:
            self._fail("")
        incoming.take(count)
        return True

    def _listen(self) -> None:
        """Read what ssh complains about, and keep its last lines; a pipe that nobody reads would stop ssh."""
        try:
            words = os.read(self._err, _WORDS_BYTES)
        except BlockingIOError:
            return
        self._words = (self._words + words)[-_WORDS_BYTES:]
        if not words:
            self._poll.unregister(self._err)
            self._hears_words = False

    def _greet(self) -> Mapping[str, bytes]:
        try:
            os.write(self._in, wire.hello())
        except BrokenPipeError:  # it was turned away before we came to speak
            self._fail("")
        deadline = time.monotonic() + self._patience
        head = self._read_exactly(4, deadline)
        length = int.from_bytes(head, "big")
        if not 5 <= length <= wire.MAX_PACKET_BYTES:  # noqa: PLR2004 -- type and version
            raise wire.broken(
                "something else than a first packet came; a start-up file there may print something"
            )
        return wire.read_hello(self._read_exactly(length, deadline))

    def _ask_limits(self) -> None:
        if wire.LIMITS in self.extensions:
            (answer,) = self.ask([wire.extended(wire.LIMITS)])
            _, read, written = wire.read_longs(answer, 3)
            # 0 says that there is no limit.
            self.most_read = min(read or wire.MAX_DATA_BYTES, wire.MAX_DATA_BYTES)
            self.most_written = min(written or wire.MAX_DATA_BYTES, wire.MAX_DATA_BYTES)

    def _read_exactly(self, length: int, deadline: float) -> bytes:
        data = b""
        while len(data) < length:
            if time.monotonic() > deadline:
                self._fail(f"no answer within {self._patience:g} s")
            if self._await(deque(), deadline - time.monotonic()):
                piece = os.read(self._out, length - len(data))
                if not piece:
                    self._fail("")
                data += piece
        return data

    def _fail(self, reason: str) -> NoReturn:
        """Raise the error that explains why the connection is over."""
        if not reason:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        deadline = time.monotonic() + _END_SECONDS
        os.set_blocking(self._err, not reason)  # ssh has ended, so its words do too
        while not reason and self._hears_words and time.monotonic() < deadline:
            self._listen()
        self.close()
        raise explain(self._login.address, reason, self._words.decode("utf-8", "replace"))


class _Incoming:
    """Takes the stream of answers apart as it comes; what a DATA answer brings goes straight to where it is wanted."""

    def __init__(self, asked: dict[int, Request], answers: dict[int, Answer]) -> None:
        self._asked, self._answers = asked, answers
        self._head = memoryview(bytearray(wire.HEAD.size))
        self._have = 0
        self._body = memoryview(b"")
        self._number = 0
        self._answer: Answer | None = None

    @property
    def room(self) -> list[memoryview]:
        """Where the next bytes belong: the rest of a body, and the head behind it."""
        if self._answer is None:
            return [self._head[self._have :]]
        return [self._body[self._have :], self._head]

    def take(self, count: int) -> None:
        """Look at `count` bytes that were put into the room."""
        self._have += count
        if self._answer is not None:
            if self._have < len(self._body):
                return
            self._have -= len(self._body)
            self._finish()
        if self._answer is None and self._have == len(self._head):
            self._begin()

    def _begin(self) -> None:
        length, kind, number, value = wire.HEAD.unpack(self._head)
        request = self._asked.get(number)
        size = length + 4 - wire.HEAD.size
        if request is None or size < 0 or length > wire.MAX_PACKET_BYTES:
            raise wire.broken(f"an answer of {length} bytes to request {number}, which was not asked")
        self._have, self._number, self._answer = 0, number, Answer(kind, value)
        if kind == wire.DATA:
            if request.into is None or value != size or value > len(request.into):
                raise wire.broken(
                    f"{value} bytes of data where at most {len(request.into or b'')} were wanted"
                )
            self._body = request.into[:size]
        else:
            self._body = memoryview(bytearray(size))
        if not size:
            self._finish()

    def _finish(self) -> None:
        answer = self._answer
        if answer is not None:
            if answer.kind != wire.DATA:
                answer.rest = bytes(self._body)
            self._answers[self._number] = answer
            del self._asked[self._number]
        self._answer, self._body = None, memoryview(b"")
