"""Several users of one store, advanced one operation at a time by whoever holds the list of them; a clock set by hand.

Each actor is a thread that stands still before every operation on the store until it is told to go on; only one moves
at a time, so the same choices give the same history. To kill one is to let none of its later operations happen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from tests.contracts.remote import MemoryRemote
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, Remote

PATIENCE = 250.0
"""Seconds. An actor stands still as long as others work, on a machine that may be busy."""
HOUR_MS = 60 * 60 * 1000


class ClockedRemote(MemoryRemote):
    """Objects in a dictionary, with the store's own clock."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        super().__init__()
        self.now_ms = now_ms
        self.modified: dict[str, int] = {}
        self.written: dict[str, int] = {}
        """Bytes that came in below each first part of a key."""

    def write(self, key: str, data: bytes) -> None:
        super().write(key, data)
        self._note(key, data)

    def write_new(self, key: str, data: bytes) -> bool:
        new = super().write_new(key, data)
        if new:
            self._note(key, data)
        return new

    def list(self, prefix: str = "") -> Iterator[Found]:
        for found in list(super().list(prefix)):
            yield Found(found.key, found.size, self.modified.get(found.key, 0))

    def _note(self, key: str, data: bytes) -> None:
        self.modified[key] = self.now_ms
        kind = key.partition("/")[0]
        self.written[kind] = self.written.get(kind, 0) + len(data)


class Killed(BaseException):
    """The actor is dead."""


class Actor:
    """One user of the store; stands before its first operation when it has been made."""

    def __init__(self, name: str, store: Remote, work: Callable[[Remote], object]) -> None:
        self.name = name
        self.at = ""
        """The operation that comes next, for example "delete packs/…"."""
        self.done = False
        self.result: object = None
        self.error: BaseException | None = None
        self.dead = False
        self.go, self.stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(
            target=self._run, args=(SteppedRemote(store, self), work), name=name, daemon=True
        )
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Let one operation happen, and what follows it up to the next one."""
        if not self.done:
            self.go.release()
            self._wait()

    def finish(self) -> None:
        while not self.done:
            self.step()

    def kill(self) -> None:
        self.dead = True
        while not self.done:
            self.step()
        self._thread.join(PATIENCE)

    def before(self, operation: str) -> None:
        """Called by the actor's thread."""
        self.at = operation
        self.stands.release()
        assert self.go.acquire(timeout=PATIENCE)
        if self.dead:
            raise Killed

    def _wait(self) -> None:
        assert self.stands.acquire(timeout=PATIENCE), f"{self.name} did not come back from {self.at}"

    def _run(self, remote: Remote, work: Callable[[Remote], object]) -> None:
        try:
            self.result = work(remote)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 -- whoever made the actor looks at it
            self.error = error
        self.done = True
        self.stands.release()


class SteppedRemote:
    """A store whose every operation waits for its actor's turn."""

    def __init__(self, inner: Remote, actor: Actor) -> None:
        self._inner = inner
        self._actor = actor

    @property
    def url(self) -> str:
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        self._actor.before(f"read {key}")
        return self._inner.read(key, start=start, length=length, limit=limit)

    def write(self, key: str, data: bytes) -> None:
        self._actor.before(f"write {key}")
        self._inner.write(key, data)

    def write_new(self, key: str, data: bytes) -> bool:
        self._actor.before(f"write_new {key}")
        return self._inner.write_new(key, data)

    def exists(self, key: str) -> bool:
        self._actor.before(f"exists {key}")
        return self._inner.exists(key)

    def list(self, prefix: str = "") -> Iterator[Found]:
        self._actor.before(f"list {prefix}")
        return iter(list(self._inner.list(prefix)))

    def delete(self, key: str) -> bool:
        self._actor.before(f"delete {key}")
        return self._inner.delete(key)
