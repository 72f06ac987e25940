"""A Remote that lets only so many bytes a second pass: what a run does not count itself keeps to a limit too.

A route's own limit holds for the chunks that it moves, and sits in `run`. This one holds for all that goes through a
Remote, documents and reading back included; several that share one `Pace` keep to one limit together. `choose` puts it
outside of `retrying`, so what is sent again because it was lost is not counted twice, with a pace of `sync.line_pace`.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.sync.pace import Pace
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, Remote


class LimitedRemote:
    """Another Remote, at a pace."""

    def __init__(self, inner: Remote, pace: Pace) -> None:
        """Wrap a Remote.

        Args:
            inner: who does the work.
            pace: the limit; bytes that are written wait before they go, bytes that were read before they are given.
        """
        self._inner, self._pace = inner, pace

    @property
    def url(self) -> str:
        """Where it is."""
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`."""
        data = self._inner.read(key, start=start, length=length, limit=limit)
        self._pace.take(len(data))
        return data

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        self._pace.take(len(data))
        self._inner.write(key, data)

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new`."""
        self._pace.take(len(data))
        return self._inner.write_new(key, data)

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self._inner.exists(key)

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in the order of the keys; see `Remote.list`."""
        return self._inner.list(prefix)

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        return self._inner.delete(key)
