"""Prove that the entries of an index are safe and fit each other, part by part. Nothing here is believed before.

`wire.index.decode_index` asks for a whole index, `wire.tree` for one part after the other; what a later part has to
know of an earlier one is carried along. A million entries pass in about a second: what can be asked of all paths at
once is, and only what looks odd is looked at alone, to name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import lt

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.entry import PACKED, Entry
from toolkit.wire.extras import fault_of_extras
from toolkit.wire.paths import MAX_NAME_BYTES, MAX_PATH_BYTES, check_path, shown

EXTRAS_SINCE = 2
"""The first format of an index whose entries may have extras."""
_ALL_MODE_BITS = 0o7777
_ODD = tuple(
    before + name + after
    for name in (b".", b"..", b"")
    for before in (b"\0", b"/")
    for after in (b"\0", b"/")
)


class EntryCheck:
    """Checks the entries of one index in order."""

    def __init__(self, what: str, *, alone: bool = False) -> None:
        """Begin before the first entry.

        Args:
            what: how to name the index in errors.
            alone: one part is looked at without those before it, so the first names of its files may not be there.
        """
        self._what = what
        self._alone = alone
        self._last = b""
        self._above: set[bytes] = set()
        """Files and links of earlier parts that could lie above a path that is still to come."""
        self._firsts: dict[bytes, Entry] = {}
        """First names of files that have several."""

    def check(self, entries: Sequence[Entry], number: int) -> None:
        """Check the entries that come next; `number` is the format of the document that they stand in.

        Raises:
            IntegrityError: an entry contradicts itself or another one.
            UnsafePathError: a path would leave its root.
        """
        if not entries:
            return
        paths = [entry.path for entry in entries]
        if not _all_plain(paths):
            for path in paths:
                check_path(path)
        self._check_order(paths)
        self._check_ways(entries, paths)
        sizes: dict[bytes, int] = {}
        for entry in entries:
            chunks, size = entry.chunks, entry.size
            if not (  # a file of one chunk, which most are, is looked at here; all else where faults are named
                len(chunks) == PACKED.size
                and entry.kind == "file"
                and not entry.target
                and 0 <= entry.mode <= _ALL_MODE_BITS
                and -(2**63) <= entry.mtime_ns < 2**63
                and size == int.from_bytes(chunks[-4:], "big")
                and 0 < size <= MAX_CHUNK_BYTES
                and sizes.setdefault(chunks[:-4], size) == size
            ):
                self._check_entry(entry, sizes)
            if entry.extras is not None and (fault := self._fault_of_extras(entry, number)):
                raise self._damaged(entry.path, fault)

    def _damaged(self, path: bytes, fault: str) -> IntegrityError:
        return IntegrityError(f"{self._what}: {shown(path)!r} {fault}")

    def _check_order(self, paths: list[bytes]) -> None:
        if paths[0] <= self._last or not all(map(lt, paths, islice(paths, 1, None))):
            for path in paths:
                if path <= self._last:
                    raise IntegrityError(f"{self._what} is not sorted at {shown(path)!r}")
                self._last = path
        self._last = paths[-1]

    def _check_ways(self, entries: Sequence[Entry], paths: list[bytes]) -> None:
        leaves = {entry.path for entry in entries if entry.kind != "folder"} | self._above
        for folder in {path.rpartition(b"/")[0] for path in paths}:
            if any(way in leaves for way in _ways(folder)):
                path = next(path for path in paths if path.rpartition(b"/")[0] == folder)
                raise self._damaged(path, "lies below something that is not a folder")
        # All that is sorted between a path and what lies below it begins with that path.
        last = self._last
        self._above = {last[:end] for end in range(1, len(last) + 1)} & leaves

    def _check_entry(self, entry: Entry, sizes: dict[bytes, int]) -> None:
        total = 0
        if entry.kind == "file" and len(entry.chunks) % PACKED.size == 0:
            for raw, size in PACKED.iter_unpack(entry.chunks):
                if not 0 < size <= MAX_CHUNK_BYTES or sizes.setdefault(raw, size) != size:
                    raise self._damaged(
                        entry.path, f"gives chunk {raw.hex()[:12]} the impossible size {size}"
                    )
                total += size
        if fault := _fault_of(entry, total):
            raise self._damaged(entry.path, fault)

    def _fault_of_extras(self, entry: Entry, number: int) -> str:
        """Say what is wrong with an entry's extras, if anything is."""
        extras = entry.extras
        if extras is None:
            return ""
        if number < EXTRAS_SINCE:
            return "has extras, which its format does not have"
        if fault := fault_of_extras(extras, entry.kind, entry.size):
            return fault
        if extras.same == entry.path:
            self._firsts[entry.path] = entry
        elif self._alone and extras.same not in self._firsts:
            return ""
        elif extras.same and self._firsts.get(extras.same) != msgspec.structs.replace(
            entry, path=extras.same
        ):
            return f"is no second name of {shown(extras.same)!r}: that is not an earlier file with the same facts"
        return ""


def _all_plain(paths: list[bytes]) -> bool:
    """Say whether all paths are surely safe; no means that they have to be looked at one by one."""
    together = b"\0" + b"\0".join(paths) + b"\0"
    return (
        max(map(len, paths)) <= MAX_NAME_BYTES
        and together.count(b"\0") == len(paths) + 1
        and not any(odd in together for odd in _ODD)
    )


def _ways(folder: bytes) -> Iterator[bytes]:
    """Yield a folder and those above it."""
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


def _fault_of(entry: Entry, total: int) -> str:
    """Say how an entry contradicts itself, if it does; `total` is what its chunks add up to."""
    if not 0 <= entry.mode <= _ALL_MODE_BITS:
        return f"has the impossible mode {entry.mode:o}"
    if len(entry.chunks) % PACKED.size or (entry.kind != "file" and (entry.chunks or entry.size)):
        return "has a chunk list that does not fit its kind"
    if not -(2**63) <= entry.mtime_ns < 2**63:
        return f"has the impossible time {entry.mtime_ns}"
    if (
        (entry.kind == "link") != bool(entry.target)
        or b"\0" in entry.target
        or len(entry.target) > MAX_PATH_BYTES
    ):
        return "has a link target that does not fit its kind"
    if total != entry.size:
        return f"has {entry.size} bytes but its chunks have {total}"
    return ""
