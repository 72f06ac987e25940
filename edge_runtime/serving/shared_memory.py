"""Tensors in POSIX shared memory: regions that clients of this machine register, read and written by name.

For a frame grabber beside the model, whose pictures need not pass through a socket. `routes` passes what the protocol
says; `tensors` asks a Lease for bytes. Off unless `serving.shared_memory`; never for clients of the network.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_shared_memory.md

A region is a file of /dev/shm, and it is read and written as a file, not mapped: its owner may cut it off at any
moment, and then a read is short (400) where a mapped page would end the process with SIGBUS. What is read is a copy, so
that a client that writes on changes no question that is under way. A file belongs to the user of this daemon, or to the
user who asks by the Unix socket: nobody reads another user's memory through us.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from edge_runtime.engine.base import Array
from edge_runtime.serving.http import Buffer, Response, json_response
from edge_runtime.serving.refusals import BadRequestError, RequestError

FOLDER: Final = Path("/dev/shm")  # noqa: S108 -- it is the place of POSIX shared memory
MOST_REGIONS: Final = 64
KEY: Final = re.compile(r"/?([A-Za-z0-9_-][A-Za-z0-9._-]{0,200})")
"""Name of a file in FOLDER, with or without the slash that shm_open wants; never a path, never a dot at the start."""
LONGEST_NAME: Final = 256
LONGEST_BODY: Final = 64 * 1024
ANY_USER: Final = -1
"""Of a client of loopback TCP, whom nobody knows."""


class ForbiddenError(RequestError):
    """The client may not do this from where it is."""

    status = HTTPStatus.FORBIDDEN
    outcome = "invalid"


class CrowdedError(RequestError):
    """Everything that may be held is held."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    outcome = "shed"
    retryable = True


class Registration(msgspec.Struct):
    """Body of a registration."""

    key: str
    byte_size: int
    offset: int = 0


class Region(msgspec.Struct, frozen=True):
    """A registered region, as the status shows it."""

    name: str
    key: str
    offset: int
    byte_size: int


@dataclass(slots=True)
class _Held:
    region: Region
    file: int


_decoder = msgspec.json.Decoder(Registration)


class SharedMemory:
    """The regions of one server."""

    def __init__(self, most_bytes: int, folder: Path = FOLDER) -> None:
        """Start with none.

        Args:
            most_bytes: of all regions together, and of what is copied out of them for questions under way.
            folder: where regions lie.
        """
        self._most = most_bytes
        self._folder = folder
        self._held: dict[str, _Held] = {}
        self.copied_bytes = 0
        """Out of regions, for questions that are not answered yet."""

    def respond(self, method: str, rest: Sequence[str], body: Buffer, user: int | None) -> Response | None:
        """Answer a question below /v2/systemsharedmemory; None when nothing is there.

        Args:
            method: GET for a status, POST for all else.
            rest: parts of the path: `status`, `unregister`, or `region NAME register|unregister|status`.
            body: as it came.
            user: of this machine who asks, ANY_USER where that is not known; None for the network.

        Raises:
            RequestError: the question gets no such answer.
        """
        verb, name = rest[-1] if rest else "", rest[1] if len(rest) == 3 else ""  # noqa: PLR2004 -- region NAME VERB
        known = len(rest) == 1 or (len(rest) == 3 and rest[0] == "region")  # noqa: PLR2004 -- the same
        if not known or verb not in ("status", "register", "unregister") or (verb == "register" and not name):
            return None
        if method != ("GET" if verb == "status" else "POST"):
            raise BadRequestError("a status is asked for with GET, all else with POST")
        if user is None:
            raise ForbiddenError(
                "shared memory is for clients of this machine, by loopback or the Unix socket"
            )
        if verb == "status":
            return json_response(HTTPStatus.OK, self.status(name))
        if verb == "register":
            self.register(name, body, user)
        else:
            self.unregister(name)
        return Response(HTTPStatus.OK)

    def status(self, name: str = "") -> list[Region]:
        """List the regions, or this one.

        Raises:
            BadRequestError: it is not registered.
        """
        return [self._find(name).region] if name else [held.region for held in self._held.values()]

    def register(self, name: str, body: Buffer, user: int) -> None:
        """Open a region and remember it under a name.

        Raises:
            BadRequestError: it is no region, or the name is taken.
            ForbiddenError: it belongs to another user.
            CrowdedError: there are too many regions, or bytes in them.
        """
        if len(body) > LONGEST_BODY:
            raise BadRequestError(f"a registration has at most {LONGEST_BODY} bytes")
        try:
            asked = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise BadRequestError(f"the body is not a registration in JSON: {exc}") from exc
        if name in self._held:
            raise BadRequestError(f"region {name[:80]!r} is registered already; unregister it first")
        if len(name) > LONGEST_NAME:
            raise BadRequestError(f"the name of a region has at most {LONGEST_NAME} characters")
        if asked.byte_size < 1 or asked.offset < 0:
            raise BadRequestError("byte_size is at least 1 and offset at least 0")
        held = sum(each.region.byte_size for each in self._held.values())
        if len(self._held) >= MOST_REGIONS or held + asked.byte_size > self._most:
            raise CrowdedError(f"at most {MOST_REGIONS} regions are taken, of {self._most} bytes together")
        file = self._open(asked, user)
        self._held[name] = _Held(Region(name, asked.key, asked.offset, asked.byte_size), file)

    def unregister(self, name: str = "") -> None:
        """Forget this region, or all; one that is not registered is forgotten already."""
        for each in [name] if name else list(self._held):
            if (held := self._held.pop(each, None)) is not None:
                os.close(held.file)

    def lease(self) -> Lease:
        """Give one question its access; release it when the question is answered."""
        return Lease(self)

    # ------------------------------------------------------------ for leases
    def read(self, name: str, offset: int, size: int) -> memoryview:
        """Copy bytes out of a region.

        Raises:
            BadRequestError: they do not lie in it, or it was cut off.
            CrowdedError: too much is copied for other questions.
        """
        file, start = self._place(name, offset, size)
        if self.copied_bytes + size > self._most:
            raise CrowdedError("too many bytes of shared memory are being read")
        copy = np.empty(size, np.uint8).data
        got = 0
        while got < size:  # a signal may cut a read short
            count = os.preadv(file, [copy[got:]], start + got)
            if not count:
                raise BadRequestError(f"region {name[:80]!r} was cut off: {got} of {size} bytes are there")
            got += count
        self.copied_bytes += size
        return copy

    def write(self, name: str, offset: int, array: Array) -> None:
        """Copy an array into a region.

        Raises:
            BadRequestError: it does not fit, or the region was cut off.
        """
        size = array.nbytes
        file, start = self._place(name, offset, size)
        if os.fstat(file).st_size < start + size:  # writing behind the end would make the file longer
            raise BadRequestError(f"region {name[:80]!r} was cut off: {size} bytes at {start} are not there")
        view, sent = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, 0
        while sent < size:
            sent += os.pwrite(file, view[sent:], start + sent)

    # ------------------------------------------------------------ inside
    def _find(self, name: str) -> _Held:
        held = self._held.get(name)
        if held is None:
            raise BadRequestError(f"no region {name[:80]!r} is registered")
        return held

    def _place(self, name: str, offset: int, size: int) -> tuple[int, int]:
        held = self._find(name)
        if offset < 0 or size < 0 or offset + size > held.region.byte_size:
            message = f"{size} bytes at {offset} do not lie in region {name[:80]!r} of {held.region.byte_size} bytes"
            raise BadRequestError(message)
        return held.file, held.region.offset + offset

    def _open(self, asked: Registration, user: int) -> int:
        found = KEY.fullmatch(asked.key)
        if found is None:
            raise BadRequestError(f"key {asked.key[:80]!r} is no name of shared memory, such as /frames")
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            file = os.open(self._folder / found[1], flags)
        except OSError as exc:
            raise BadRequestError(f"key {asked.key!r} cannot be opened: {exc.strerror}") from exc
        try:
            _check(os.fstat(file), asked, user)
        except BaseException:
            os.close(file)
            raise
        return file


def _check(facts: os.stat_result, asked: Registration, user: int) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise BadRequestError(f"key {asked.key!r} is no shared memory")
    if facts.st_uid not in (os.geteuid(), user):
        raise ForbiddenError(f"key {asked.key!r} belongs to another user than the one who asks")
    if facts.st_size < asked.offset + asked.byte_size:
        raise BadRequestError(
            f"key {asked.key!r} has {facts.st_size} bytes, not {asked.byte_size} at {asked.offset}"
        )


class Lease:
    """What one question copies out of regions, counted until it is answered."""

    def __init__(self, memory: SharedMemory) -> None:
        """Start with nothing."""
        self._memory = memory
        self._bytes = 0

    def read(
        self, parameters: dict[str, bool | int | float | str | None], size: int, where: str
    ) -> memoryview:
        """Copy the bytes of a tensor, which its parameters place in a region.

        Raises:
            RequestError: they are not there.
        """
        name, offset, given = _place_of(parameters, where)
        if given != size:
            raise BadRequestError(f"{where}: shared_memory_byte_size is {given}, but its shape takes {size}")
        copy = self._memory.read(name, offset, size)
        self._bytes += size
        return copy

    def write(
        self, parameters: dict[str, bool | int | float | str | None], array: Array, where: str
    ) -> dict[str, int | str]:
        """Lay an output into the region that its parameters name; give what the answer says of it.

        Raises:
            RequestError: it does not fit there.
        """
        name, offset, given = _place_of(parameters, where)
        if array.nbytes > given:
            raise BadRequestError(
                f"{where}: takes {array.nbytes} bytes, but shared_memory_byte_size is {given}"
            )
        self._memory.write(name, offset, array)
        placed: dict[str, int | str] = {
            "shared_memory_region": name,
            "shared_memory_byte_size": array.nbytes,
        }
        return placed | ({"shared_memory_offset": offset} if offset else {})

    def release(self) -> None:
        """Count the copies as given back; repeating it is harmless."""
        self._memory.copied_bytes -= self._bytes
        self._bytes = 0


def _place_of(parameters: dict[str, bool | int | float | str | None], where: str) -> tuple[str, int, int]:
    name = parameters.get("shared_memory_region")
    offset = parameters.get("shared_memory_offset", 0)
    size = parameters.get("shared_memory_byte_size")
    if not isinstance(name, str) or type(offset) is not int or type(size) is not int:
        raise BadRequestError(
            f"{where}: shared_memory_region is a name, shared_memory_offset and _byte_size are numbers"
        )
    return name, offset, size
