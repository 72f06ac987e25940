"""Answers on the disk: one file each, below STATE/answers/MODEL, whole or not at all, and bounded in bytes.

    STATE/answers/MODEL/ARTIFACT/KEY          an answer that has no label
    STATE/answers/MODEL/ARTIFACT/KEY-LABEL    one that has, where LABEL is a keyed hash of it
    STATE/answers/MODEL/hot                   keys that were used most when the daemon ended
    STATE/answers/MODEL/mark                  the last message about forgetting that was obeyed, see `caches`

`keep` asks on the event loop; every touch of the disk is a job of one thread that does them in order, so a file that is
written before a sweep is seen by it. No list of files is in memory, only a Bloom filter: it says at once that there is
no answer, and a sweep over the folder makes it anew when it is full or when the oldest files had to go. Files are not
flushed one by one (that wears out a device's flash); one that a power cut has torn is found by its digest and is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from blake3 import blake3

from edge_runtime.serving.cache.bloom import Bloom
from edge_runtime.serving.cache.entry import Kept, Sealer, decode_head, decode_kept, encode_kept
from edge_runtime.serving.cache.key import Key, Source
from toolkit.errors import IntegrityError
from toolkit.sync.whole import sync_folder, write_whole

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_WAITING: Final = 64
"""Answers that may wait to be written; more are not kept on the disk."""
LARGEST_FILE: Final = 256 * 1024 * 1024
_BLOCK: Final = 4096
"""A file takes whole blocks of the disk."""
_DOWN_TO: Final = 0.9
_LEAST_KEYS: Final = 4096
_LABEL_BYTES: Final = 8
_KEY_CHARS: Final = 64
_FILE: Final = re.compile(rf"[0-9a-f]{{{_KEY_CHARS}}}(?:-[0-9a-f]+)?")


class Run(Protocol):
    """Does jobs one after the other, away from the event loop."""

    def __call__(self, job: Callable[[], T], /) -> asyncio.Future[T]:
        """Queue a job now; the future gets what it gives."""
        ...


class Disk:
    """The files of one model."""

    def __init__(self, folder: Path, budget_bytes: int, run: Run, sealer: Sealer | None = None) -> None:
        """Prepare; nothing is read before `open`."""
        self._folder = folder
        self._budget = budget_bytes
        self._run = run
        self._sealer = sealer
        self._filter: Bloom | None = None
        """None while nobody has looked: then anything may be there."""
        self._added: set[Key] | None = None
        """Keys since a sweep began, which its filter does not have."""
        self._sweep_again = False
        self._waiting = 0
        self._jobs: set[asyncio.Future[Any]] = set()
        self.bytes = 0
        self.evictions = 0
        self.skipped = 0
        """Answers that were not written because too many waited, or because the disk did not take them."""

    # ------------------------------------------------------------ on the event loop
    def open(self, artifacts: tuple[str, ...]) -> None:
        """Look what is there of these artifacts, and delete what is of others."""
        self._spawn(lambda: self._keep_only(artifacts))
        self._sweep()

    def may_have(self, key: Key) -> bool:
        """Say whether it is worth looking; no is certain."""
        return self._filter is None or key in self._filter

    async def get(self, source: Source, key: Key, label: str) -> Kept | None:
        """Read an answer; None when there is none that is whole."""
        return await self._run(lambda: self._read(source, key, label))

    def put(self, source: Source, key: Key, kept: Kept) -> None:
        """Have an answer written, unless too many wait already."""
        if self._waiting >= MOST_WAITING:
            self.skipped += 1
            return
        self._waiting += 1
        if self._filter is not None:
            self._filter.add(key)
        if self._added is not None:
            self._added.add(key)
        self._spawn(lambda: self._write(source, key, kept)).add_done_callback(self._written)

    async def forget(self, matches: Callable[[str], bool], labels: frozenset[str] | None) -> None:
        """Delete the answers of these labels, durably.

        Args:
            matches: whether a label is meant.
            labels: all that can be meant, if that is known: then no file has to be opened.
        """
        names = None if labels is None else frozenset(self._label_name(label) for label in labels)
        await self._run(lambda: self._forget(matches, names))

    async def clear(self) -> None:
        """Delete all answers, durably."""
        await self._run(self._clear)
        self._sweep()

    async def note(self, name: str, data: bytes) -> None:
        """Write a small file beside the answers, whole and durable."""
        await self._run(lambda: self._note(name, data))

    async def noted(self, name: str, most: int) -> bytes:
        """Read such a file; empty where there is none."""
        return await self._run(lambda: self._noted(name, most))

    async def settle(self) -> None:
        """Wait until all that was queued is done."""
        while self._jobs:
            await asyncio.wait(tuple(self._jobs))

    def _written(self, job: asyncio.Future[int]) -> None:
        self._waiting -= 1
        if job.cancelled():
            return
        size = job.result()
        self.bytes += size
        self.skipped += not size
        full = self._filter is not None and self._filter.added > self._filter.capacity
        if self._added is None and (self.bytes > self._budget or full):
            self._sweep()

    def _sweep(self) -> None:
        if self._added is not None:
            self._sweep_again = True
            return
        self._added = set()
        self._spawn(self._sweep_files).add_done_callback(self._swept)

    def _swept(self, job: asyncio.Future[tuple[Bloom, int, int]]) -> None:
        if job.cancelled():
            return
        self._filter, self.bytes, gone = job.result()
        self.evictions += gone
        for key in self._added or ():
            self._filter.add(key)
        self._added = None
        if self._sweep_again:
            self._sweep_again = False
            self._sweep()

    def _spawn(self, job: Callable[[], T]) -> asyncio.Future[T]:
        future = self._run(job)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    # ------------------------------------------------------------ on the thread
    def _keep_only(self, artifacts: tuple[str, ...]) -> None:
        for folder in self._artifacts():
            if folder.name not in artifacts:
                shutil.rmtree(folder, ignore_errors=True)

    def _read(self, source: Source, key: Key, label: str) -> Kept | None:
        path = self._path(source, key, label)
        try:
            with path.open("rb") as stream:
                kept = decode_kept(self._unseal(stream.read(LARGEST_FILE), key))
        except FileNotFoundError:
            return None
        except (OSError, IntegrityError) as error:
            log.warning("an answer that was kept is of no use: %s", error)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        return kept if kept.label == label else None

    def _write(self, source: Source, key: Key, kept: Kept) -> int:
        """Write beside the place and rename; give the bytes that it takes, 0 when it could not be written."""
        path = self._path(source, key, kept.label)
        data = encode_kept(kept)
        if self._sealer is not None:
            data = self._sealer.seal(data, key)
        if len(data) > min(self._budget, LARGEST_FILE):
            return 0
        draft = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            draft.replace(path)
        except OSError as error:
            log.warning("an answer is not kept on the disk: %s", error.strerror)
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            return 0
        return _blocks(len(data))

    def _sweep_files(self) -> tuple[Bloom, int, int]:
        """Delete the oldest files until the rest is well within the budget; give filter, bytes and number deleted."""
        found: list[tuple[float, int, Path]] = []
        for path in self._files():
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, _blocks(stat.st_size), path))
        total, gone = sum(size for _, size, _ in found), 0
        if total > self._budget:
            found.sort(key=lambda each: each[0])
            while found and total > _DOWN_TO * self._budget:
                _, size, path = found.pop(0)
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                total, gone = total - size, gone + 1
        bloom = Bloom(max(2 * len(found), _LEAST_KEYS))
        for _, _, path in found:
            bloom.add(bytes.fromhex(path.name[:_KEY_CHARS]))
        return bloom, total, gone

    def _forget(self, matches: Callable[[str], bool], names: frozenset[str] | None) -> None:
        for path in self._files():
            name = path.name[_KEY_CHARS + 1 :]
            if name and (name in names if names is not None else self._is_meant(path, matches)):
                path.unlink(missing_ok=True)
        for folder in self._artifacts():
            sync_folder(folder)

    def _is_meant(self, path: Path, matches: Callable[[str], bool]) -> bool:
        """Say whether a file's label is meant; one that cannot be read is better gone."""
        try:
            data = path.read_bytes()
            return matches(decode_head(self._unseal(data, bytes.fromhex(path.name[:_KEY_CHARS]))).label)
        except (OSError, IntegrityError):
            return True

    def _clear(self) -> None:
        for folder in self._artifacts():
            shutil.rmtree(folder)
        with contextlib.suppress(FileNotFoundError):
            sync_folder(self._folder)

    def _note(self, name: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._folder / name, data, mode=0o600)

    def _noted(self, name: str, most: int) -> bytes:
        try:
            with (self._folder / name).open("rb") as stream:
                return stream.read(most)
        except OSError:
            return b""

    def _unseal(self, data: bytes, key: Key) -> bytes:
        return data if self._sealer is None else self._sealer.open(data, key)

    def _artifacts(self) -> list[Path]:
        try:
            return [each for each in self._folder.iterdir() if each.is_dir()]
        except OSError:
            return []

    def _files(self) -> Iterator[Path]:
        """Go through the answers; drafts that a kill left behind are deleted on the way."""
        for folder in self._artifacts():
            for path in tuple(folder.iterdir()):
                if path.name.startswith("."):
                    path.unlink(missing_ok=True)
                elif _FILE.fullmatch(path.name):
                    yield path

    def _path(self, source: Source, key: Key, label: str) -> Path:
        ending = f"-{self._label_name(label)}" if label else ""
        return self._folder / source.artifact / f"{key.hex()}{ending}"

    def _label_name(self, label: str) -> str:
        """Hash a label for a file's name, where no patient's number shall stand."""
        secret = self._sealer.name_key if self._sealer is not None else bytes(32)
        return blake3(label.encode(), key=secret).hexdigest(_LABEL_BYTES)


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
