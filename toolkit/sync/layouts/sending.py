"""Send packs to a store while the next one is gathered: several at once over a line, one after the other to a disk.

`packs.PackStore` hands over finished packs and takes them in when they are durable. Over a line a pack mostly waits for
answers (an SFTP channel has two MiB on the way at most), so a few go side by side; each is held in memory until it has
arrived, and each may have to be sent again after a kill, so they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from toolkit.wire.digest import Digest

OVER_A_LINE = 2
"""Packs of up to 16 MiB that are on their way at once."""
_LINES = ("s3://", "sftp://")

T = TypeVar("T")


def at_once_to(url: str) -> int:
    """Say how many packs may be on their way to a Remote at once."""
    return OVER_A_LINE if url.startswith(_LINES) else 1


class Sending(Generic[T]):
    """Packs on their way. For one thread; close it, or use it in `with`, and nothing is on its way any more."""

    def __init__(self, at_once: int) -> None:
        """Allow so many at once; with one, whoever hands a pack over sends it itself."""
        if at_once < 1:
            raise ValueError(f"{at_once} packs at once send nothing")
        self._at_once = at_once
        self._pool = ThreadPoolExecutor(at_once, "send") if at_once > 1 else None
        self._flying: dict[Future[T], frozenset[Digest]] = {}

    def __contains__(self, digest: Digest) -> bool:
        """Say whether a chunk is on its way."""
        return any(digest in chunks for chunks in self._flying.values())

    def send(self, chunks: frozenset[Digest], job: Callable[[], T]) -> Iterator[T]:
        """Wait for room, send a pack, and yield what came of those that have arrived meanwhile.

        Raises what a job raised; others may have arrived all the same.
        """
        if self._pool is None:
            yield job()
            return
        yield from self.make_room()
        self._flying[self._pool.submit(job)] = chunks

    def make_room(self) -> Iterator[T]:
        """Wait until one more may be on its way; what came of others, and errors, as in `send`."""
        while len(self._flying) >= self._at_once:
            yield from self._landed()

    def wait(self) -> Iterator[T]:
        """Wait for all that is on its way. Errors as in `send`."""
        while self._flying:
            yield from self._landed()

    def _landed(self) -> Iterator[T]:
        """Wait until at least one has arrived."""
        done = wait(self._flying, return_when=FIRST_COMPLETED).done
        while done:
            future = done.pop()
            del self._flying[future]
            try:
                arrived = future.result()
            finally:
                del future  # else an error and this frame would hold each other, and all that its frames hold, for long
            yield arrived

    def __enter__(self) -> Sending[T]:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until no thread sends any more; what came of it is not asked."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
