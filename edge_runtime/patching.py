"""Bring a patch while SEEDING, when one is shorter than the chunks that are still missing, and have it replayed.

    choose (disk) -> manifest (link or store) -> judge -> index -> chunks -> replay (disk, `remake`) -> dropped

It comes after `seed` and before DOWNLOADING, and it cannot fail: whatever goes wrong is logged and reported, what it
left is dropped, and the installation goes on with the chunks that are missing then. Everything is fetched by the same
machinery as any artifact's chunks, so a kill costs a batch and the window here too. For the control thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from edge_runtime.drill import NO_DRILL, Drill
from edge_runtime.folders import Folders
from edge_runtime.remake import Made, Remake
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches
from edge_runtime.worker import Worker
from toolkit.errors import IntegrityError
from toolkit.protocol.exchange import Finished, GivenUp
from toolkit.protocol.offer import Ability, Refused
from toolkit.protocol.patching import judge_patch_space, read_patch_index, read_patch_manifest
from toolkit.wire.digest import Digest
from toolkit.wire.index import Index, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest, Patch

log = logging.getLogger(__name__)
T = TypeVar("T")
MANIFEST_SECONDS: Final = 15.0
"""How long a patch's manifest may take; it is retained, so it comes at once or not at all."""
STILL_SECONDS: Final = 60.0
"""How long a connected device waits for the next bytes of a patch before it does without."""
MAX_PROBLEM: Final = 200


@dataclass
class _Open:
    """A patch on its way for one installation."""

    model: str
    target: Digest
    done: Callable[[], None]
    patch: Patch | None = None
    manifest: Manifest | None = None
    """Of the target."""
    waits_for_manifest: bool = False
    moved_at: float = 0.0
    received: int = -1
    steps: Iterator[None] = field(default_factory=lambda: iter(()))
    made: Made = field(default_factory=Made)


@dataclass(frozen=True)
class Bench:
    """What patching works with."""

    shelf: Shelf
    store: Store
    folders: Folders
    disk: Worker
    fetches: Fetches
    keyring: Callable[[], Keyring]
    ability: Callable[[], Ability]
    want_manifest: Callable[[Digest], None]
    now: Callable[[], float]
    drill: Drill = NO_DRILL


class Patching:
    """The patches that are on their way; at most one a model."""

    def __init__(self, bench: Bench) -> None:
        """Prepare."""
        self._bench = bench
        self._open: dict[str, _Open] = {}
        self._used: set[str] = set()
        """Patches that were tried since the start; what they did not bring, they will not bring the next time."""
        self._problems: dict[str, str] = {}

    # ------------------------------------------------------------ what install and control call
    def start(self, model: str, target: Digest, done: Callable[[], None]) -> None:
        """Bring what a patch can; `done` follows, however that ends."""
        self.stop(model)
        self._problems.pop(target, None)
        waiting = self._open[model] = _Open(model, target, done)
        shelf = self._bench.shelf
        self._on_disk(
            waiting,
            lambda: (shelf.manifest(target), shelf.choose_patch(target)),
            lambda found: self._chosen(waiting, *found),
        )

    def stop(self, model: str) -> None:
        """Give up without a word; what came stays for the next time."""
        waiting = self._open.pop(model, None)
        if waiting is not None:
            self._bench.fetches.stop(model)
            self._close(waiting)

    def problem_of(self, target: str) -> str:
        """Say why the patch to an artifact did not help; nothing when it did, or when there was none."""
        return self._problems.get(target, "")

    def manifest_arrived(self, artifact: str, sealed: bytes) -> None:
        """Take in a manifest that came over the link, if it is one that is waited for."""
        for waiting in list(self._open.values()):
            if waiting.waits_for_manifest and waiting.patch and waiting.patch.artifact == artifact:
                waiting.waits_for_manifest = False
                self._judge(waiting, sealed)

    def tick(self) -> None:
        """Let time pass."""
        now = self._bench.now()
        for waiting in list(self._open.values()):
            if waiting.waits_for_manifest and now - waiting.moved_at > MANIFEST_SECONDS:
                self._give_up(waiting, f"its manifest did not come within {MANIFEST_SECONDS:g} s")
            elif (fetch := self._bench.fetches.chunks.get(waiting.model)) is not None:
                received = fetch.tally.received
                if received != waiting.received or not self._bench.fetches.connected:
                    waiting.received, waiting.moved_at = received, now
                elif now - waiting.moved_at > STILL_SECONDS:
                    self._give_up(waiting, f"nothing of it came for {STILL_SECONDS:g} s")

    # ------------------------------------------------------------ step by step
    def _chosen(self, waiting: _Open, manifest: Manifest, patch: Patch | None) -> None:
        if patch is None or patch.artifact in self._used:
            self._end(waiting)
            return
        waiting.patch, waiting.manifest = patch, manifest
        log.info("%s: a patch of %d bytes from %s", waiting.model, patch.download_bytes, patch.base[:12])
        sealed = self._bench.store.sealed_manifest(patch.artifact)
        if sealed is not None:
            self._judge(waiting, sealed)
            return
        waiting.waits_for_manifest, waiting.moved_at = True, self._bench.now()
        self._bench.want_manifest(patch.artifact)

    def _judge(self, waiting: _Open, sealed: bytes) -> None:
        bench, patch, target = self._bench, waiting.patch, waiting.manifest
        if patch is None or target is None:
            return
        manifest = read_patch_manifest(sealed, bench.keyring(), target, patch)
        if isinstance(manifest, Refused):
            self._give_up(waiting, manifest.reason)
            return
        held = bench.shelf.held_bytes(waiting.target)
        refused = judge_patch_space(
            manifest, target, free_bytes=bench.ability().free_disk_bytes, held_bytes=held
        )
        if refused is not None:
            self._give_up(waiting, refused.reason)
            return

        def save() -> bytes | None:
            bench.store.save_manifest(patch.artifact, waiting.model, sealed)
            return bench.shelf.index_bytes(patch.artifact)

        self._on_disk(waiting, save, lambda data: self._have_index(waiting, patch, manifest, data))

    def _have_index(self, waiting: _Open, patch: Patch, manifest: Manifest, data: bytes | None) -> None:
        index = read_patch_index(data, manifest) if data is not None else None
        if isinstance(index, Index):
            self._fetch(waiting, patch, index)
            return

        def fetched(result: bytes | GivenUp) -> None:
            if self._open.get(waiting.model) is waiting:
                self._index_came(waiting, patch, manifest, result)

        self._bench.fetches.start_index(waiting.model, patch.artifact, manifest, fetched)

    def _index_came(self, waiting: _Open, patch: Patch, manifest: Manifest, result: bytes | GivenUp) -> None:
        index = read_patch_index(result, manifest) if isinstance(result, bytes) else result
        if isinstance(index, Index) and isinstance(result, bytes):
            save = partial(self._bench.shelf.save_index, patch.artifact, result)
            self._on_disk(waiting, save, lambda _: self._fetch(waiting, patch, index))
        elif not isinstance(index, Index):
            self._give_up(waiting, index.reason)

    def _fetch(self, waiting: _Open, patch: Patch, index: Index) -> None:
        def fetched(ending: Finished | GivenUp) -> None:
            if self._open.get(waiting.model) is not waiting:
                return
            if isinstance(ending, GivenUp):
                self._give_up(waiting, ending.reason)
                return
            bench = self._bench
            remake = Remake(bench.shelf, bench.store, bench.folders, waiting.target, patch, bench.drill)
            waiting.steps, waiting.made = remake.steps(), remake.made
            self._on_disk(
                waiting,
                lambda: bench.store.move_tally(patch.artifact, waiting.target),
                lambda _: self._replay(waiting),
            )

        waiting.moved_at = self._bench.now()
        self._bench.fetches.start_chunks(waiting.model, patch.artifact, distinct_chunks(index), fetched)

    def _replay(self, waiting: _Open) -> None:
        def step() -> bool:
            return next(waiting.steps, "end") is None

        def stepped(more: bool) -> None:  # noqa: FBT001 -- a callback
            if more:
                self._replay(waiting)
            elif waiting.made.wrong:
                wrong = f"{waiting.made.wrong} chunks that it made are others than the index names"
                self._give_up(waiting, f"{wrong}; was the version that it starts from damaged?")
            else:
                log.info("%s: a patch made %d chunks", waiting.model, waiting.made.chunks)
                self._drop(waiting)

        self._on_disk(waiting, step, stepped)

    # ------------------------------------------------------------ endings
    def _give_up(self, waiting: _Open, reason: str) -> None:
        """Do without: say why, and drop what came."""
        log.warning("%s: the patch does not help: %s", waiting.model, reason)
        self._problems[waiting.target] = reason[:MAX_PROBLEM]
        self._bench.fetches.stop(waiting.model)
        self._drop(waiting)

    def _drop(self, waiting: _Open) -> None:
        patch, bench = waiting.patch, self._bench
        if patch is None:
            self._end(waiting)
            return
        self._used.add(patch.artifact)
        self._close(waiting)

        def drop() -> None:
            bench.store.move_tally(patch.artifact, waiting.target)
            bench.shelf.drop_helper(patch.artifact)

        def failed(error: Exception) -> None:
            log.warning("%s: cleaning up a patch failed: %s", waiting.model, error)
            self._end(waiting)

        bench.disk.submit(drop, lambda _: self._end(waiting), failed)

    def _end(self, waiting: _Open) -> None:
        if self._open.get(waiting.model) is waiting:
            del self._open[waiting.model]
            waiting.done()

    def _close(self, waiting: _Open) -> None:
        """End a replay in the thread that it runs in."""
        close = getattr(waiting.steps, "close", None)
        if close is not None:
            self._bench.disk.submit(close, _nothing, _nothing)

    def _on_disk(self, waiting: _Open, job: Callable[[], T], done: Callable[[T], None]) -> None:
        def finished(result: T) -> None:
            if self._open.get(waiting.model) is waiting:
                done(result)

        def failed(error: Exception) -> None:
            if self._open.get(waiting.model) is waiting:
                why = error.message if isinstance(error, IntegrityError) else str(error)
                self._give_up(waiting, why)

        self._bench.disk.submit(job, finished, failed)


def _nothing(_: object) -> None:
    """Take an outcome that nobody waits for."""
