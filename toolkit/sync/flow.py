"""Code chunks in a few threads and hand them on in order: between a `ChunkSource` and a `PackStore`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from toolkit.errors import TornReadError
from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.pace import Pace
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef

THREADS = 2
_BATCH_BYTES = 2 * 1024 * 1024
AHEAD, FEW_AHEAD = 16, 4
"""Batches that are coded before the first one is taken: a pack can be written meanwhile, and the memory is bounded. Few
do where packs are sent in threads of their own."""


class _Coded(NamedTuple):
    chunks: list[StoredChunk]
    torn: dict[Digest, str]


def stored_chunks(
    refs: Iterable[ChunkRef],
    source: ChunkSource,
    pace: Pace,
    torn: dict[Digest, str],
    code_one: Callable[[ChunkRef], StoredChunk] | None = None,
    *,
    ahead: int = AHEAD,
) -> Iterator[StoredChunk]:
    """Yield chunks in stored form, in the order of `refs`.

    Args:
        refs: the chunks, each once.
        source: where they come from.
        pace: holds back the coding, and with it everything behind.
        torn: gets the chunks that the source has not any more, with the reason; they are left out.
        code_one: reads and codes a chunk of `source` in its own way, with the same errors.
        ahead: so many batches are coded before the first one is taken.
    """

    def code(batch: list[ChunkRef]) -> _Coded:
        coded = _Coded([], {})
        for ref in batch:
            try:
                chunk = code_one(ref) if code_one else StoredChunk(ref.digest, ref.size, source.stored(ref))
            except TornReadError as error:
                coded.torn[ref.digest] = error.message
                continue
            pace.take(len(chunk.stored))
            coded.chunks.append(chunk)
        return coded

    waiting: deque[Future[_Coded]] = deque()
    pool = ThreadPoolExecutor(THREADS, "code")
    try:
        for batch in batches(refs):
            waiting.append(pool.submit(code, batch))
            if len(waiting) >= ahead:
                coded = waiting.popleft().result()
                torn.update(coded.torn)
                yield from coded.chunks
        for future in waiting:
            coded = future.result()
            torn.update(coded.torn)
            yield from coded.chunks
    finally:
        pool.shutdown(cancel_futures=True)


def batches(refs: Iterable[ChunkRef]) -> Iterator[list[ChunkRef]]:
    """Group chunks so that a batch is worth a thread's while."""
    batch: list[ChunkRef] = []
    size = 0
    for ref in refs:
        batch.append(ref)
        size += ref.size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
