"""Make a patch: for each stretch of the target the operation that takes the fewest bytes.

Stretches that stand in the base are copied (tensors in their old place or another, chunks by their digests, and what
lies between two tensors); tensors that changed become planes; the rest is compressed with the base before it. The
result is written beside its place by the caller; `replay` proves it before anybody publishes it.
"""

from __future__ import annotations

import mmap
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from toolkit.sync.delta import planes
from toolkit.sync.delta.prefix import encode_prefix
from toolkit.sync.delta.tensors import Pair
from toolkit.wire.delta import (
    MAX_OP_BYTES,
    MAX_SPAN_BYTES,
    Copy,
    Op,
    PatchedFile,
    PatchHead,
    Plain,
    Planes,
    Prefix,
    encode_head,
    store_section,
)
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""A tensor is coded in blocks of this size; a device holds a few of them at once."""
_NEARBY_BYTES: Final = 1024 * 1024
"""How much of the base a small change is compared with."""
_LARGE_CHANGE_BYTES: Final = 1024 * 1024
_LEAST_PREFIX_BYTES: Final = 64
_DOUBTFUL: Final = 0.8
"""Planes that take more than this share are compared with plain compression."""


@dataclass(frozen=True)
class Run:
    """Bytes that are equal in both files."""

    base: int
    target: int
    length: int


@dataclass(frozen=True)
class Change:
    """A file of the target and what is known of it in the base."""

    path: bytes
    target: Path
    base_path: bytes = b""
    """Path in the base artifact; empty when there is nothing to look at."""
    base: Path | None = None
    pairs: Sequence[Pair] = ()
    runs: Sequence[Run] = ()


@dataclass
class _Drafts:
    """What is common to all files of a patch."""

    sections: IO[bytes]
    told: Callable[[int], None]


def encode_patch(
    changes: Sequence[Change], to: Path, *, told: Callable[[int], None] = lambda _: None
) -> PatchHead:
    """Write a patch and give its head.

    Args:
        changes: the target's files.
        to: file that is written; the caller names it finally.
        told: called with bytes of the target that are done since the last call; what it raises ends the work.

    Raises:
        OSError: a file cannot be read or written.
    """
    with tempfile.TemporaryFile(dir=to.parent) as sections:
        drafts = _Drafts(sections, told)
        head = PatchHead(files=tuple(_encode_file(each, drafts) for each in changes))
        sections.seek(0)
        with to.open("wb") as out:
            out.write(encode_head(head))
            shutil.copyfileobj(sections, out, BLOCK_BYTES)
    return head


def equal_runs(base: Iterator[ChunkRef], target: Iterator[ChunkRef]) -> list[Run]:
    """Say which bytes of two files are equal because their chunks are, neighbours joined."""
    places: dict[Digest, int] = {}
    at = 0
    for ref in base:
        places.setdefault(ref.digest, at)
        at += ref.size
    runs: list[Run] = []
    at = 0
    for ref in target:
        place = places.get(ref.digest)
        last = runs[-1] if runs else None
        if place is None:
            pass
        elif last and (last.base + last.length, last.target + last.length) == (place, at):
            runs[-1] = Run(last.base, last.target, last.length + ref.size)
        else:
            runs.append(Run(place, at, ref.size))
        at += ref.size
    return runs


def _encode_file(change: Change, drafts: _Drafts) -> PatchedFile:
    with _mapped(change.target) as target, _mapped(change.base) as base:
        stretches = _Stretches(base, target, drafts, change.runs)
        stretches.walk(change.pairs if planes.is_possible() else ())
        looks = any(not isinstance(op, Plain) for op in stretches.ops)
        return PatchedFile(change.path, change.base_path if looks else b"", len(target), tuple(stretches.ops))


@dataclass
class _Stretches:
    """One file on its way into a patch, from its beginning to its end."""

    base: mmap.mmap | bytes
    target: mmap.mmap | bytes
    drafts: _Drafts
    runs: Sequence[Run]
    ops: list[Op] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Where the runs end in the target."""
    near: int = 0
    """Where in the base the next bytes would stand if nothing had been inserted or removed."""

    def walk(self, pairs: Sequence[Pair]) -> None:
        """Go through the file."""
        self.ends = [run.target + run.length for run in self.runs]
        at = 0
        for pair in pairs:
            self._between(at, pair.target, pair.base)
            self._tensor(pair)
            at = pair.target + pair.length
        self._between(at, len(self.target), len(self.base))

    def _between(self, start: int, end: int, base_end: int) -> None:
        """Code what lies between two tensors, or all of a file that has none."""
        length = end - start
        if not length:
            return
        for place in (self.near, base_end - length):
            if place >= 0 and self._is_equal(place, start, length):
                self._copy(place, length)
                return
        at = start
        for run in self._runs_within(start, end):
            self._changed(at, run.target)
            self._copy(run.base, run.length)
            at = run.target + run.length
        self._changed(at, end)

    def _tensor(self, pair: Pair) -> None:
        for done in range(0, pair.length, BLOCK_BYTES):
            length = min(BLOCK_BYTES, pair.length - done)
            base, start = pair.base + done, pair.target + done
            if self._is_equal(base, start, length):
                self._copy(base, length)
                continue
            before, after = self.base[base : base + length], self.target[start : start + length]
            sections = planes.encode_planes(before, after, pair.width, floats=pair.floats)
            taken = sum(map(len, sections))
            if taken > _DOUBTFUL * length and len(plain := store_section(after)) < taken:
                self._put(Plain(length, len(plain)), plain)
            else:
                sizes = tuple(map(len, sections))
                self._put(Planes(length, base, pair.width, pair.floats, sizes), *sections)
            self.near = base + length

    def _changed(self, start: int, end: int) -> None:
        """Code bytes of which nothing is known."""
        for at in range(start, end, MAX_OP_BYTES):
            data = self.target[at : min(at + MAX_OP_BYTES, end)]
            plain = store_section(data)
            offset, span = self._nearby(len(data))
            section = encode_prefix(self.base[offset : offset + span], data) if span else plain
            if len(section) < len(plain) and len(data) >= _LEAST_PREFIX_BYTES:
                self._put(Prefix(len(data), offset, span, len(section)), section)
            else:
                self._put(Plain(len(data), len(plain)), plain)
            self.near = min(self.near + len(data), len(self.base))

    def _nearby(self, length: int) -> tuple[int, int]:
        """Choose the stretch of the base that a change is compared with: around the place where it would stand."""
        span = min(MAX_SPAN_BYTES if length >= _LARGE_CHANGE_BYTES else _NEARBY_BYTES, len(self.base))
        offset = min(max(0, self.near - (span - min(length, span)) // 2), len(self.base) - span)
        return offset, span

    def _copy(self, offset: int, length: int) -> None:
        last = self.ops[-1] if self.ops else None
        if isinstance(last, Copy) and last.offset + last.length == offset:
            self.ops[-1] = Copy(last.length + length, last.offset)
        else:
            self.ops.append(Copy(length, offset))
        self.near = offset + length
        self.drafts.told(length)

    def _put(self, op: Op, *sections: bytes) -> None:
        self.ops.append(op)
        self.drafts.sections.writelines(sections)
        self.drafts.told(op.length)

    def _is_equal(self, base: int, target: int, length: int) -> bool:
        return self.base[base : base + length] == self.target[target : target + length]

    def _runs_within(self, start: int, end: int) -> Iterator[Run]:
        """Yield what is known to be equal between two places of the target."""
        first = bisect_right(self.ends, start)
        for run in self.runs[first:]:
            begin, stop = max(run.target, start), min(run.target + run.length, end)
            if begin >= stop:
                return
            yield Run(run.base + begin - run.target, begin, stop - begin)


@contextmanager
def _mapped(path: Path | None) -> Iterator[mmap.mmap | bytes]:
    """Give the bytes of a file without reading it whole; nothing for no file or an empty one."""
    if path is None or not path.stat().st_size:
        yield b""
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield mapped
