"""What every Remote promises, and two stand-ins: one in memory, one that breaks at a chosen operation.

A test file subclasses `RemoteContract` and gives the fixture `remote`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError, UnsafePathError
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, Remote, check_key, check_prefix

T = TypeVar("T")


class MemoryRemote:
    """Objects in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return "memory://test"

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        data = self.objects.get(check_key(key))
        if data is None:
            raise MissingObjectError(f"{self.url} has no {key}")
        piece = data[start:] if length is None else data[start : start + length]
        if len(piece) > limit:
            raise IntegrityError(f"{key}: {len(piece)} bytes to read; at most {limit} are")
        return piece

    def write(self, key: str, data: bytes) -> None:
        self.objects[check_key(key)] = data

    def write_new(self, key: str, data: bytes) -> bool:
        with self._lock:
            if check_key(key) in self.objects:
                return False
            self.objects[key] = data
            return True

    def exists(self, key: str) -> bool:
        return check_key(key) in self.objects

    def list(self, prefix: str = "") -> Iterator[Found]:
        check_prefix(prefix)
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield Found(key, len(self.objects[key]))

    def delete(self, key: str) -> bool:
        return self.objects.pop(check_key(key), None) is not None


class BreakingRemote:
    """A Remote whose n-th changing operation fails, before it has done anything or after it has done it all.

    Both happen on a network: the request is lost, or the answer is.
    """

    def __init__(self, inner: Remote, *, breaks_at: int, after: bool = False) -> None:
        self._inner = inner
        self._left = breaks_at
        self._after = after
        self.changes = 0
        self.broken = False

    @property
    def url(self) -> str:
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        self._check()
        return self._inner.read(key, start=start, length=length, limit=limit)

    def write(self, key: str, data: bytes) -> None:
        self._change(lambda: self._inner.write(key, data))

    def write_new(self, key: str, data: bytes) -> bool:
        return self._change(lambda: self._inner.write_new(key, data))

    def exists(self, key: str) -> bool:
        self._check()
        return self._inner.exists(key)

    def list(self, prefix: str = "") -> Iterator[Found]:
        self._check()
        return self._inner.list(prefix)

    def delete(self, key: str) -> bool:
        return self._change(lambda: self._inner.delete(key))

    def _check(self) -> None:
        if self.broken:
            raise RemoteUnavailableError("the line is cut", hint="this is a test")

    def _change(self, operation: Callable[[], bool | None]) -> bool:
        self._check()
        self.changes += 1
        self._left -= 1
        if self._left > 0:
            return bool(operation())
        if self._after:
            operation()
        self.broken = True
        self._check()
        return False


class ThroughRemote:
    """A Remote that hands every operation to `_call`, which says what becomes of it."""

    def __init__(self, inner: Remote) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        return self._call(lambda: self._inner.read(key, start=start, length=length, limit=limit))

    def write(self, key: str, data: bytes) -> None:
        self._call(lambda: self._inner.write(key, data))

    def write_new(self, key: str, data: bytes) -> bool:
        return self._call(lambda: self._inner.write_new(key, data))

    def exists(self, key: str) -> bool:
        return self._call(lambda: self._inner.exists(key))

    def list(self, prefix: str = "") -> Iterator[Found]:
        return iter(self._call(lambda: list(self._inner.list(prefix))))

    def delete(self, key: str) -> bool:
        return self._call(lambda: self._inner.delete(key))

    def _call(self, operation: Callable[[], T]) -> T:
        return operation()


class UnluckyRemote(ThroughRemote):
    """A Remote that loses each `every`-th request, or its answer, and works again at once: a poor line."""

    def __init__(self, inner: Remote, *, every: int, after: bool = False, times: int = 10**9) -> None:
        super().__init__(inner)
        self._every, self._after, self._left = every, after, times
        self.calls = 0
        self._lock = threading.Lock()

    def _call(self, operation: Callable[[], T]) -> T:
        with self._lock:
            self.calls += 1
            lost = self._left > 0 and self.calls % self._every == 0
            self._left -= lost
        if not lost:
            return operation()
        if self._after:
            operation()
        raise RemoteUnavailableError("the line is bad", hint="this is a test")


class RemoteContract:
    """The suite."""

    @pytest.fixture
    def remote(self) -> Remote:
        raise NotImplementedError

    def test_what_is_written_is_read(self, remote: Remote) -> None:
        remote.write("packs/abc", b"some bytes")
        assert remote.read("packs/abc") == b"some bytes"
        assert remote.exists("packs/abc")

    def test_an_empty_object_is_an_object(self, remote: Remote) -> None:
        remote.write("refs/empty", b"")
        assert remote.read("refs/empty") == b""
        assert remote.exists("refs/empty")

    def test_a_part_of_an_object_is_read(self, remote: Remote) -> None:
        remote.write("packs/abc", bytes(range(100)))
        assert remote.read("packs/abc", start=10, length=5) == bytes(range(10, 15))
        assert remote.read("packs/abc", start=90) == bytes(range(90, 100))
        assert remote.read("packs/abc", start=95, length=50) == bytes(range(95, 100))
        assert remote.read("packs/abc", start=200, length=5) == b""

    def test_what_is_not_there_is_said_to_be_missing(self, remote: Remote) -> None:
        with pytest.raises(MissingObjectError, match="packs/abc"):
            remote.read("packs/abc")
        assert not remote.exists("packs/abc")
        assert not remote.delete("packs/abc")

    def test_a_listing_tells_when_it_was_stored_by_the_stores_clock_or_nothing(self, remote: Remote) -> None:
        before = time.time()
        remote.write("packs/abc", b"some bytes")
        (found,) = remote.list("packs/")
        assert found.modified_ms == 0 or before - 60 <= found.modified_ms / 1000 <= time.time() + 60

    def test_writing_again_replaces(self, remote: Remote) -> None:
        remote.write("refs/a", b"a longer one")
        remote.write("refs/a", b"short")
        assert remote.read("refs/a") == b"short"

    def test_only_the_first_of_two_creates(self, remote: Remote) -> None:
        assert remote.write_new("refs/a", b"first")
        assert not remote.write_new("refs/a", b"second")
        assert remote.read("refs/a") == b"first"

    def test_of_many_threads_one_creates(self, remote: Remote) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number: remote.write_new("refs/a", b"%d" % number), range(32)))
        assert sum(won) == 1
        assert remote.read("refs/a") == b"%d" % won.index(True)

    def test_a_reader_sees_the_old_or_the_new_never_a_mix(self, remote: Remote) -> None:
        versions = [bytes([number]) * 200_000 for number in range(2)]
        remote.write("refs/a", versions[0])
        stop = threading.Event()

        def write() -> None:
            for number in range(60):
                remote.write("refs/a", versions[number % 2])
            stop.set()

        writer = threading.Thread(target=write)
        writer.start()
        reads = 0
        while not stop.is_set() or not reads:
            assert remote.read("refs/a") in versions
            reads += 1
        writer.join()

    def test_a_listing_has_keys_and_sizes_in_order(self, remote: Remote) -> None:
        for key in ("refs/b", "refs/a/2", "refs/a-1", "packs/x", "refs/a/1", "refs/a/b/c"):
            remote.write(key, b"12345")
        everything = ["packs/x", "refs/a-1", "refs/a/1", "refs/a/2", "refs/a/b/c", "refs/b"]
        assert list(remote.list()) == [Found(key, 5) for key in everything]
        assert [found.key for found in remote.list("refs/a/")] == ["refs/a/1", "refs/a/2", "refs/a/b/c"]
        assert list(remote.list("nothing/")) == []

    def test_a_prefix_ends_with_a_part(self, remote: Remote) -> None:
        with pytest.raises(UnsafePathError, match="end with a slash"):
            list(remote.list("refs/a"))

    def test_deleting_takes_away(self, remote: Remote) -> None:
        remote.write("refs/a", b"x")
        assert remote.delete("refs/a")
        assert not remote.exists("refs/a")
        assert list(remote.list()) == []

    @pytest.mark.parametrize(
        "key",
        ["", "/", "/etc/passwd", "a/../b", "..", ".", "a//b", "a/", "a/./b", ".hidden", "a/.incoming", "a\0b", "a b",
         "a\\b", "ä", "a" * 201, "/".join("a" * 13), "-a", "a\n"],
    )  # fmt: skip
    def test_a_key_that_could_leave_is_refused_by_every_operation(self, remote: Remote, key: str) -> None:
        operations: list[Callable[[], object]] = [
            lambda: remote.read(key),
            lambda: remote.write(key, b""),
            lambda: remote.write_new(key, b""),
            lambda: remote.exists(key),
            lambda: remote.delete(key),
        ]
        for operation in operations:
            with pytest.raises(UnsafePathError):
                operation()
        assert list(remote.list()) == []

    def test_more_than_the_limit_is_not_read(self, remote: Remote) -> None:
        remote.write("indexes/large", bytes(5000))
        with pytest.raises(IntegrityError, match="5000 bytes to read; at most 4999"):
            remote.read("indexes/large", limit=4999)
        assert len(remote.read("indexes/large", length=10, limit=10)) == 10

    def test_it_says_where_it_is(self, remote: Remote) -> None:
        assert "://" in remote.url
