"""The trailers of a store's packs, as they lie in a Remote: what `packs` reads to know which chunks a store holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.layouts.pack import FOOTER_BYTES, Footer, PackEntry, read_entries, read_footer
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.digest import Digest, parse_digest

_GUESS_BYTES = 64 * 1024
"""Read this much from a pack's end at once; it holds the entries of most packs, also of files of some 12 KiB. What is
too much costs less than a second request."""
_READERS, _FEW_PACKS = 8, 4
"""So many trailers are read at a time, as soon as more than a few are wanted."""


def packs_of(remote: Remote) -> Iterator[tuple[Digest, int]]:
    """Yield the packs of a store with their sizes in bytes; what is not named by a digest is not ours.

    Raises:
        RemoteUnavailableError: the Remote does not answer.
    """
    for found in remote.list("packs/"):
        with suppress(IntegrityError):
            yield parse_digest(found.key.removeprefix("packs/"), what="pack"), found.size


def read_trailer(remote: Remote, pack: Digest, total: int) -> list[PackEntry]:
    """Read which chunks a pack holds.

    Args:
        remote: where it is.
        pack: its id.
        total: its size in bytes.

    Raises:
        MissingObjectError: it is gone.
        IntegrityError: its trailer was damaged.
        RemoteUnavailableError: the Remote does not answer.
    """
    table = _read_table(remote, pack, total)
    return read_entries(table.data, table.footer, what=table.what)


class _Table(NamedTuple):
    """A trailer's list of chunks as it was read, not looked at yet; see `pack.read_entries`."""

    data: bytes
    footer: Footer
    what: str


def _read_table(remote: Remote, pack: Digest, total: int) -> _Table:
    what = f"pack {pack[:12]} in {remote.url}"
    begin = max(0, total - _GUESS_BYTES)
    end = remote.read(f"packs/{pack}", start=begin)
    footer = read_footer(end[-FOOTER_BYTES:], begin + len(end), what=what)
    if footer.start >= begin:
        data = end[footer.start - begin : footer.start - begin + footer.length]
    else:
        data = remote.read(f"packs/{pack}", start=footer.start, length=footer.length)
    return _Table(data, footer, what)


def read_trailers(
    remote: Remote, packs: Sequence[tuple[Digest, int]]
) -> Iterator[tuple[Digest, list[PackEntry] | IntegrityError]]:
    """Read trailers in the order of their packs, several at a time: over a line each of them is a wait.

    Yields:
        Each pack with its entries, or with what is wrong with its trailer; none for a pack that is gone.

    Raises:
        RemoteUnavailableError: the Remote does not answer.
    """

    def read(each: tuple[Digest, int]) -> _Table | IntegrityError | None:
        try:
            return _read_table(remote, *each)
        except MissingObjectError:
            return None  # removed since it was listed
        except IntegrityError as error:
            return error

    pool = ThreadPoolExecutor(_READERS, "trailers") if len(packs) > _FEW_PACKS else None
    try:
        for pack, table in (
            _few_ahead(pool, read, packs) if pool else ((each[0], read(each)) for each in packs)
        ):
            if isinstance(table, IntegrityError):
                yield pack, table
            elif table is not None:
                yield pack, _entries_or_fault(table)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _entries_or_fault(table: _Table) -> list[PackEntry] | IntegrityError:
    try:
        return read_entries(table.data, table.footer, what=table.what)
    except IntegrityError as error:
        return error


def _few_ahead(
    pool: ThreadPoolExecutor,
    read: Callable[[tuple[Digest, int]], _Table | IntegrityError | None],
    packs: Sequence[tuple[Digest, int]],
) -> Iterator[tuple[Digest, _Table | IntegrityError | None]]:
    """Read in order, a few at a time: a pack of small files has a trailer of almost a megabyte."""
    waiting: deque[tuple[Digest, Future[_Table | IntegrityError | None]]] = deque()
    for each in packs:
        waiting.append((each[0], pool.submit(read, each)))
        if len(waiting) > 2 * _READERS:
            pack, future = waiting.popleft()
            yield pack, future.result()
    for pack, future in waiting:
        yield pack, future.result()
