"""Fetch the plan that another machine of this class has built, while STAGED and before the golden check builds one.

    wanted (loader) -> sealed manifest (link) -> judge -> index -> chunks -> adopt (disk) -> the golden check

It cannot fail: whatever is missing, late or wrong is logged and reported, what came is dropped, and the golden check
builds the plan as it always did. What it brings is checked like a plan that was built here, with the golden examples;
where it does not pass, `refuse` deletes it, remembers it, and the check runs again on a plan of our own (`proving`).
Everything comes by the machinery of any artifact's chunks, so a kill costs a batch and the window here too. For the
control thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from edge_runtime.drill import NO_DRILL, Drill
from edge_runtime.engine.adopt import Wanted, adopt, wanted_here
from edge_runtime.engine.choose import BUILD_SECONDS
from edge_runtime.engine.plan import PlanHeader, PlanKey, Plans
from edge_runtime.folders import Folders
from edge_runtime.opening import Loadable
from edge_runtime.part import Part
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches
from edge_runtime.worker import Worker
from toolkit.errors import IntegrityError, TiersError
from toolkit.protocol.exchange import Finished, GivenUp
from toolkit.protocol.offer import Ability, Refused
from toolkit.protocol.plans import judge_plan_space, read_plan_index, read_plan_manifest
from toolkit.wire.digest import Digest
from toolkit.wire.index import Index, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest
from toolkit.wire.plan import PlanFor, PlanMachine

log = logging.getLogger(__name__)
T = TypeVar("T")
Ready = Callable[[str], None]
"""Goes on with the golden check; gets the artifact of the plan that was fetched, or nothing when one is built."""
ANNOUNCED_SECONDS: Final = 10.0
"""How long an announcement may take; it is retained, so it comes at once or there is none."""
STILL_SECONDS: Final = 60.0
"""How long a device waits for the next bytes of a plan, connected or not, before it builds."""
MAX_PROBLEM: Final = 200


@dataclass
class _Open:
    """A plan that may come for one installation."""

    model: str
    target: Digest
    ready: Ready
    began: float
    refused: str = ""
    """Plan that was no good here before."""
    wanted: Wanted | None = None
    made_for: PlanFor | None = None
    """What a plan must say of itself; known once `wanted` is."""
    waits: bool = False
    """For the announcement."""
    fetching: bool = False
    """Index or chunks are on their way."""
    plan: Digest | None = None
    moved_at: float = 0.0
    received: int = -1
    steps: Iterator[None] = field(default_factory=lambda: iter(()))


@dataclass(frozen=True)
class PlanBench:
    """What fetching plans works with."""

    shelf: Shelf
    store: Store
    folders: Folders
    disk: Worker
    loader: Worker
    fetches: Fetches
    keyring: Callable[[], Keyring]
    ability: Callable[[], Ability]
    hear: Callable[[str, str, bool], None]
    """Hears the announcement for an artifact and a machine's key, or hears it no more."""
    now: Callable[[], float]
    drill: Drill = NO_DRILL
    wanted: Callable[[Path, int], Wanted | None] = wanted_here
    """Says what plan of a model file this machine needs."""


class PlanFetching:
    """The plans that are on their way; at most one a model."""

    def __init__(self, bench: PlanBench) -> None:
        """Prepare."""
        self._bench = bench
        self._plans = Plans(bench.folders.plans)
        self._open: dict[str, _Open] = {}
        self._keys: dict[str, PlanKey] = {}
        """Artifact of a model -> key under which a fetched plan of it lies here."""
        self._problems: dict[str, str] = {}

    # ------------------------------------------------------------ what install and control call
    def start(self, loadable: Loadable, ready: Ready) -> None:
        """Bring the plan of a version if there is one for this machine; `ready` follows, however that ends."""
        model, target = loadable.config.name, Digest(loadable.artifact)
        self.stop(model)
        self._problems.pop(target, None)
        bench, plans, most = self._bench, self._plans, loadable.config.max_batch
        waiting = self._open[model] = _Open(model, target, ready, bench.now())
        if loadable.config.engine == "onnxruntime" or bench.shelf.manifest(target).golden is None:
            self._end(waiting)  # no plan is needed, or nothing would show that it is right
            return

        def look() -> tuple[Wanted | None, PlanHeader | None, str]:
            wanted = bench.wanted(loadable.file, most)
            if wanted is None:
                return None, None, ""
            return wanted, plans.peek(wanted.key), plans.refused(wanted.key)

        def looked(found: tuple[Wanted | None, PlanHeader | None, str]) -> None:
            if self._open.get(model) is waiting:
                self._know(waiting, *found)

        def failed(error: Exception) -> None:
            log.info("%s: no plan is fetched: %s", model, error)
            self._end(waiting)

        bench.loader.submit(look, looked, failed)

    def stop(self, model: str) -> None:
        """Give up without a word; what came stays for the next time."""
        waiting = self._open.pop(model, None)
        if waiting is not None:
            self._hear_no_more(waiting)
            self._bench.fetches.stop(model)
            self._close(waiting)

    def refuse(self, target: str, origin: str, reason: str, then: Callable[[], None]) -> None:
        """Take back a fetched plan that did not pass: it is deleted, remembered, and reported; then go on."""
        log.warning("the plan %s that was fetched is not used: %s", origin[:12], reason)
        self._problems[target] = f"it did not pass the golden check: {reason}"[:MAX_PROBLEM]
        key = self._keys.pop(target, None)

        def refuse() -> None:
            if key is not None:
                self._plans.refuse(key, origin)

        self._bench.disk.submit(refuse, lambda _: then(), lambda _: then())

    def problem_of(self, target: str) -> str:
        """Say why the plan that was announced for an artifact is not used; nothing when it is, or there was none."""
        return self._problems.get(target, "")

    def announced(self, artifact: str, machine: str, sealed: bytes) -> None:
        """Take in what stands on a plan's topic; no bytes mean that it was taken back."""
        for waiting in list(self._open.values()):
            made_for = waiting.made_for
            if made_for is None or (artifact, machine) != (waiting.target, made_for.machine.key):
                continue
            if not sealed and waiting.fetching:
                self._give_up(waiting, "it was taken back")
            elif sealed and waiting.waits:
                waiting.waits = False
                self._judge(waiting, made_for, sealed)

    def tick(self) -> None:
        """Let time pass."""
        now = self._bench.now()
        for waiting in list(self._open.values()):
            fetch = self._bench.fetches.chunks.get(waiting.model)
            if waiting.waits and now - waiting.moved_at > ANNOUNCED_SECONDS:
                log.info("%s: nobody has announced a plan for this machine; it is built", waiting.model)
                self._end(waiting)
            if not waiting.fetching:
                continue
            if fetch is not None and fetch.tally.received != waiting.received:
                waiting.received, waiting.moved_at = fetch.tally.received, now
            if now - waiting.moved_at > STILL_SECONDS:
                self._give_up(waiting, f"nothing of it came for {STILL_SECONDS:g} s")
            elif now - waiting.began > BUILD_SECONDS:
                self._give_up(waiting, f"it did not come within {BUILD_SECONDS:g} s")

    # ------------------------------------------------------------ step by step
    def _know(self, waiting: _Open, wanted: Wanted | None, here: PlanHeader | None, refused: str) -> None:
        if wanted is None:
            self._end(waiting)
            return
        waiting.wanted, waiting.refused = wanted, refused
        if here is not None:
            waiting.plan = Digest(here.origin) if here.origin else None
            self._drop(waiting, here.origin)  # a kill may have left its chunks
            return
        facts = {name: getattr(wanted.key, name) for name in PlanMachine.__struct_fields__}
        waiting.made_for = PlanFor(
            artifact=waiting.target, model=wanted.key.model, machine=PlanMachine(**facts)
        )
        waiting.waits, waiting.moved_at = True, self._bench.now()
        self._bench.hear(waiting.target, waiting.made_for.machine.key, True)  # noqa: FBT003 -- a callback

    def _judge(self, waiting: _Open, made_for: PlanFor, sealed: bytes) -> None:
        bench = self._bench
        found = read_plan_manifest(sealed, bench.keyring(), bench.shelf.manifest(waiting.target), made_for)
        if isinstance(found, Refused):
            self._give_up(waiting, found.reason)
            return
        plan, manifest = found
        if plan == waiting.refused:
            self._give_up(waiting, "it did not pass the golden check here before")
            return
        refused = judge_plan_space(
            manifest, free_bytes=bench.ability().free_disk_bytes, held_bytes=bench.shelf.held_bytes(plan)
        )
        if refused is not None:
            self._give_up(waiting, refused.reason)
            return
        log.info("%s: its plan of %d bytes is fetched", waiting.model, manifest.total_bytes)
        waiting.plan = plan

        def save() -> bytes | None:
            bench.store.save_manifest(plan, waiting.model, sealed)
            return bench.shelf.index_bytes(plan)

        self._on_disk(waiting, save, lambda data: self._have_index(waiting, plan, manifest, data))

    def _have_index(self, waiting: _Open, plan: Digest, manifest: Manifest, data: bytes | None) -> None:
        index = read_plan_index(data, manifest) if data is not None else None
        if isinstance(index, Index):
            self._fetch(waiting, plan, index)
            return

        def fetched(result: bytes | GivenUp) -> None:
            if self._open.get(waiting.model) is waiting:
                self._index_came(waiting, plan, manifest, result)

        waiting.fetching, waiting.moved_at = True, self._bench.now()
        self._bench.fetches.start_index(waiting.model, plan, manifest, fetched)

    def _index_came(self, waiting: _Open, plan: Digest, manifest: Manifest, result: bytes | GivenUp) -> None:
        waiting.fetching = False
        index = read_plan_index(result, manifest) if isinstance(result, bytes) else result
        if isinstance(index, Index) and isinstance(result, bytes):
            save = partial(self._bench.shelf.save_index, plan, result)
            self._on_disk(waiting, save, lambda _: self._fetch(waiting, plan, index))
        elif not isinstance(index, Index):
            self._give_up(waiting, index.reason)

    def _fetch(self, waiting: _Open, plan: Digest, index: Index) -> None:
        def fetched(ending: Finished | GivenUp) -> None:
            if self._open.get(waiting.model) is not waiting:
                return
            waiting.fetching = False
            if isinstance(ending, GivenUp):
                self._give_up(waiting, ending.reason)
            elif waiting.wanted is not None:
                pieces = _pieces(self._bench.folders.part(plan), index)
                waiting.steps = adopt(
                    self._plans,
                    waiting.wanted,
                    plan,
                    index.total_bytes,
                    pieces,
                    lambda: self._bench.drill.write("plan"),
                )
                self._adopt(waiting)

        waiting.fetching, waiting.moved_at = True, self._bench.now()
        self._bench.fetches.start_chunks(waiting.model, plan, distinct_chunks(index), fetched)

    def _adopt(self, waiting: _Open) -> None:
        def step() -> bool:
            return next(waiting.steps, "end") is None

        def stepped(more: bool) -> None:  # noqa: FBT001 -- a callback
            if more:
                self._adopt(waiting)
            else:
                log.info("%s: the plan that another machine has built is here", waiting.model)
                self._drop(waiting, waiting.plan or "")

        self._on_disk(waiting, step, stepped)

    # ------------------------------------------------------------ endings
    def _give_up(self, waiting: _Open, reason: str) -> None:
        """Do without: say why, and drop what came."""
        log.warning("%s: the plan that was announced is not used: %s", waiting.model, reason)
        self._problems[waiting.target] = reason[:MAX_PROBLEM]
        waiting.fetching = False
        self._bench.fetches.stop(waiting.model)
        self._close(waiting)
        self._drop(waiting, "")

    def _drop(self, waiting: _Open, origin: str) -> None:
        """Delete the chunks of a plan, which has been taken in, or cannot be; then go on."""
        bench, plan = self._bench, waiting.plan
        if plan is None:
            self._end(waiting, origin)
            return

        def drop() -> None:
            bench.store.move_tally(plan, waiting.target)
            bench.shelf.drop_helper(plan)

        def failed(error: Exception) -> None:
            log.warning("%s: cleaning up a plan failed: %s", waiting.model, error)
            self._end(waiting, origin)

        bench.disk.submit(drop, lambda _: self._end(waiting, origin), failed)

    def _end(self, waiting: _Open, origin: str = "") -> None:
        if self._open.get(waiting.model) is waiting:
            del self._open[waiting.model]
            self._hear_no_more(waiting)
            if origin and waiting.wanted is not None:
                self._keys[waiting.target] = waiting.wanted.key
            waiting.ready(origin)

    def _hear_no_more(self, waiting: _Open) -> None:
        if waiting.made_for is not None:
            self._bench.hear(waiting.target, waiting.made_for.machine.key, False)  # noqa: FBT003 -- a callback

    def _close(self, waiting: _Open) -> None:
        """End the taking in, in the thread that it runs in."""
        close = getattr(waiting.steps, "close", None)
        if close is not None:
            self._bench.disk.submit(close, _nothing, _nothing)

    def _on_disk(self, waiting: _Open, job: Callable[[], T], done: Callable[[T], None]) -> None:
        def finished(result: T) -> None:
            if self._open.get(waiting.model) is waiting:
                done(result)

        def failed(error: Exception) -> None:
            if self._open.get(waiting.model) is waiting:
                self._give_up(waiting, error.message if isinstance(error, TiersError) else str(error))

        self._bench.disk.submit(job, finished, failed)


def _pieces(part: Path, index: Index) -> Iterator[bytes]:
    """Give the bytes of a plan out of its part file, each chunk checked once more.

    Raises:
        IntegrityError: one has rotted on this disk.
    """
    chunks = distinct_chunks(index)
    numbers = {chunk.digest: number for number, chunk in enumerate(chunks)}
    with Part(part, chunks) as stored:
        for ref in index.entries[0].refs():
            data = stored.read(numbers[ref.digest])
            if data is None:
                raise IntegrityError("a stored chunk of the plan was damaged")
            yield data


def _nothing(_: object) -> None:
    """Take an outcome that nobody waits for."""
