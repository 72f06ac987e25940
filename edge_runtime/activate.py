"""Load versions and switch between them: the hands of ACTIVATING, PROBATION and every rollback.

`install` calls from the control thread; opening happens on the loader thread beside the version that serves; the switch
itself is one assignment on the event loop (`serving.models`), so no request fails. Only what `install` has saved is
ever served, and the version before it goes on until the new one is ready.

Where memory does not hold both (`residents`), the old one is closed first and questions wait; if the new one then does
not load, the old one is loaded again. Its files stay all the while: nothing is deleted here. A lazy model's version is
loaded when somebody asks for it, and may leave again for another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial

from edge_runtime.engine.base import Engine
from edge_runtime.opening import Lay, Loadable, Opener
from edge_runtime.residents import Memory, Plan, Residents
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.shadow import Comparison, judge
from edge_runtime.ties import Done, Prepared, Ties, reason_of
from edge_runtime.worker import Post, Worker
from toolkit.errors import TiersError
from toolkit.wire.device_config import ShadowConfig

log = logging.getLogger(__name__)


class Activator:
    """Prepares and switches the versions of all models."""

    def __init__(
        self,
        table: ModelTable,
        loop: asyncio.AbstractEventLoop,
        loader: Worker,
        post: Post,
        lay: Lay = lambda _artifact, _stages, _engine: None,
        memory: Memory | None = None,
    ) -> None:
        """Work on this table, which belongs to this loop."""
        self._table = table
        self._loop = loop
        self._opener = Opener(loader, lay)
        self._post = post
        self._residents: Residents = Residents(memory or Memory())
        self._prepared: dict[str, tuple[str, Engine | None]] = {}
        """Artifact and engine of what waits to serve; None for the engine when the table has it, in the shadow."""
        self._formers: dict[str, Loadable] = {}
        """What still answers some clients beside a version on probation."""
        self._serving: dict[str, str] = {}
        self._drained: dict[str, Loadable] = {}
        """What was closed to make room for its successor, which does not serve yet."""
        self._turns: dict[str, int] = {}
        self._busy: set[str] = set()
        """Models of which a version is on its way to serve."""
        self._attempts: dict[str, object] = {}
        self.ties = Ties()
        self.loads = self._opener.loads

    def serving(self, model: str) -> str:
        """Give the artifact that answers requests for a model; empty when none does."""
        return self._serving.get(model, "")

    @property
    def at_rest(self) -> bool:
        """Whether nothing is being opened or about to serve."""
        return not self._opener.under_way and not self._busy

    @property
    def held_bytes(self) -> int:
        """Memory that loaded versions take, as far as it is estimated."""
        return self._residents.held_bytes

    def failures(self, model: str, version: str) -> int:
        """Give how many inferences the engine of this version has failed."""
        return sum(
            stats.outcomes["failed"]
            for stats in self._table.stats()
            if (stats.model, stats.version) == (model, version)
        )

    # ------------------------------------------------------------ before the switch
    def clear_for(self, loadable: Loadable, then: Callable[[], None]) -> None:
        """Make room for one more of this version in memory, then go on; a `drop` takes it back."""
        model = loadable.config.name
        self._discard(model)
        attempt = self._attempts[model] = object()
        self._make_room(loadable, lambda: then() if self._attempts.get(model) is attempt else None)

    def prepare(self, loadable: Loadable, done: Prepared) -> None:
        """Open a version and run it once, beside the one that serves, or after it where memory does not hold both.

        Where the model asks for a shadow and there is something to compare with, it passes that too.
        """
        model, shadow = loadable.config.name, loadable.config.shadow

        def opened(engine: Engine) -> None:
            self._discard(model)
            self._prepared[model] = (loadable.artifact, engine)
            if shadow is None or self._residents.version(model) is None:
                done("", "")
            else:
                self._rehearse(loadable, engine, shadow, done)

        def failed(error: Exception) -> None:
            done("load-failed", reason_of(error))

        self.clear_for(loadable, lambda: self._opener.open(loadable, opened, failed))

    def _rehearse(self, loadable: Loadable, engine: Engine, shadow: ShadowConfig, done: Prepared) -> None:
        model = loadable.config.name
        attempt = self._attempts.get(model)
        self._prepared[model] = (loadable.artifact, None)
        found = Comparison()
        log.info("%s %s is compared with what serves", model, loadable.version)

        async def rehearse() -> None:
            nonlocal found
            found = await self._table.rehearse(model, loadable.version, engine, loadable.artifact, shadow)

        def over(error: BaseException | None) -> None:
            if self._attempts.get(model) is not attempt:
                return  # given up meanwhile
            code, reason = ("load-failed", reason_of(error)) if error is not None else judge(found, shadow)
            log.info("%s %s beside what serves: %s", model, loadable.version, found)
            done(code, reason)

        self._on_loop(rehearse(), over)

    def drop(self, model: str) -> None:
        """Let go of what was prepared for a model, and serve again what was closed for it."""
        self._attempts.pop(model, None)
        self._discard(model)
        self._restore(model)

    # ------------------------------------------------------------ the switch
    def serve(self, loadable: Loadable, done: Done) -> None:
        """Serve this version; what was asked for before and is not ready yet is given up.

        A lazy model of which nothing is in memory is not loaded before somebody asks.
        """
        model = loadable.config.name
        prepared = self._prepared.get(model)
        lazy = loadable.config.load == "lazy" and not self._in_memory(model) and not self.ties.keeps(model)
        former = self._formers.get(model)
        if prepared is not None and prepared[0] == loadable.artifact:
            del self._prepared[model]
            self._swap(loadable, prepared[1], self._turn(model), done)
        elif former is not None and former.artifact == loadable.artifact:
            self._revert(former, done)
        elif self._serving.get(model) == loadable.artifact and model not in self._drained:
            self._turn(model)
            self._busy.discard(model)
            self._post(partial(done, ""))
        elif lazy:
            self._sleep(loadable, self._turn(model), done)
        else:
            self._load(loadable, done)

    def withdraw(self, model: str, done: Done) -> None:
        """Serve no version of this model."""
        turn = self._turn(model)
        self._busy.discard(model)
        self._serving.pop(model, None)
        for known in (self._drained, self._formers):
            known.pop(model, None)
        self._residents.remove(model)
        self._on_loop(self._table.withdraw(model), lambda _: self._if_latest(model, turn, lambda: done("")))

    def unload(self, model: str) -> bool:
        """Give a model's memory back until somebody asks for it; tell whether it was in memory and could leave."""
        if not self._in_memory(model) or self.ties.keeps(model) or model in self._busy:
            return False
        self._on_loop(self._leave(model), lambda _: None)
        return True

    # ------------------------------------------------------------ inside
    def _in_memory(self, model: str) -> bool:
        return self._residents.version(model) is not None or model in self._drained

    def _discard(self, model: str) -> None:
        prepared = self._prepared.pop(model, None)
        if prepared is None:
            return
        if prepared[1] is None:
            self._on_loop(self._table.dismiss(model), lambda _: None)
        else:
            self._opener.close(prepared[1])

    def _restore(self, model: str) -> None:
        """Load again what was closed for a successor that does not come."""
        old = self._drained.get(model)
        if old is None:
            return
        log.info("%s %s is loaded again", model, old.version)
        self._load(old, lambda reason: self.ties.lost(model, old.artifact, reason) if reason else None)

    def _load(self, loadable: Loadable, done: Done) -> None:
        """Make room, open, switch."""
        model = loadable.config.name
        turn = self._turn(model)
        self._busy.add(model)

        def failed(error: Exception) -> None:
            self._if_latest(model, turn, lambda: self._failed(loadable, turn, done, reason_of(error)))

        self._make_room(
            loadable,
            lambda: self._opener.open(
                loadable, lambda engine: self._swap(loadable, engine, turn, done), failed
            ),
        )

    def _failed(self, loadable: Loadable, turn: int, done: Done, reason: str) -> None:
        model = loadable.config.name
        self._busy.discard(model)
        old = self._drained.get(model)
        if old is not None and old.artifact == loadable.artifact:
            del self._drained[model]
        done(reason)
        if turn != self._turns[model]:
            return  # another version was chosen, for which the questions wait
        if model in self._drained:
            self._restore(model)
        else:
            self._loop.call_soon_threadsafe(self._table.resume, model, "it does not load; the log says why")

    def _wake(self, loadable: Loadable) -> None:
        """Load what somebody asked for; whatever else happens to the model meanwhile lets the questions go on."""
        model = loadable.config.name
        if model in self._busy or self._serving.get(model) != loadable.artifact:
            return
        log.info("%s %s is loaded, because somebody asks for it", model, loadable.version)
        self._load(
            loadable,
            lambda reason: self.ties.lost(model, loadable.artifact, reason) if reason else None,
        )

    def _sleep(self, loadable: Loadable, turn: int, done: Done) -> None:
        model = loadable.config.name

        def asleep(_: object) -> None:
            self._serving[model] = loadable.artifact
            self._if_latest(model, turn, lambda: done(""))

        self._busy.discard(model)
        self._serving[model] = loadable.artifact
        self._on_loop(self._table.sleep(model, loadable.version, self._waker(loadable)), asleep)

    def _waker(self, loadable: Loadable) -> Callable[[], None]:
        return lambda: self._post(partial(self._wake, loadable))

    def _make_room(self, loadable: Loadable, then: Callable[[], None]) -> None:
        """Let leave what must, then go on."""
        model = loadable.config.name
        plan = self._residents.plan(
            model, loadable.needed_bytes, self._residents.idle(self._table.idle_since, self._may_leave)
        )
        if plan == Plan():
            then()
            return
        leaving = [self._leave(each) for each in plan.leave]
        if plan.drain:
            old = self._residents.remove(model)
            if old is not None:
                log.info(
                    "%s: memory does not hold %s and %s; requests wait", model, old.version, loadable.version
                )
                self._drained[model] = old
                leaving.append(self._table.pause(model))

        async def leave() -> None:
            for each in leaving:
                await each

        self._on_loop(leave(), lambda _: then())

    def _leave(self, model: str) -> Coroutine[object, object, None]:
        old = self._residents.remove(model)
        if old is None:
            raise TiersError(f"{model} is not in memory")
        log.info("%s %s leaves memory until somebody asks for it", model, old.version)
        return self._table.sleep(model, old.version, self._waker(old))

    def _may_leave(self, model: str) -> bool:
        return model not in self._busy and model not in self._attempts and not self.ties.keeps(model)

    def _turn(self, model: str) -> int:
        self._turns[model] = self._turns.get(model, 0) + 1
        return self._turns[model]

    def _swap(self, loadable: Loadable, engine: Engine | None, turn: int, done: Done) -> None:
        """Let a version serve that is open, or that is in the table's shadow already."""
        model = loadable.config.name
        if turn != self._turns[model]:
            if engine is not None:
                self._opener.close(engine)
            return
        self._busy.add(model)
        former = self._residents.version(model)
        on_trial = loadable.config.trial_share < 1 and self.ties.keeps(model) and former is not None
        share = loadable.config.trial_share if on_trial else None
        taken = max(engine.memory_bytes if engine is not None else 0, loadable.needed_bytes)

        async def switch() -> None:
            if engine is not None:
                await self._table.swap(model, loadable.version, engine, loadable.artifact, share)
            elif not await self._table.promote(model, loadable.artifact, share):
                raise TiersError(f"{model} {loadable.version} is no longer in the shadow")

        def over(error: BaseException | None) -> None:
            if error is None:
                self._formers.pop(model, None)
                if on_trial and former is not None:
                    self._formers[model] = former
                    log.info(
                        "%s: %s answers %g %% of the clients, %s the others",
                        model, loadable.version, 100 * loadable.config.trial_share, former.version,
                    )  # fmt: skip
            self._swapped(loadable, turn, done, taken, error)

        self._on_loop(switch(), over)

    def _swapped(
        self, loadable: Loadable, turn: int, done: Done, taken: int, error: BaseException | None
    ) -> None:
        model = loadable.config.name
        if error is not None:
            self._if_latest(model, turn, lambda: self._failed(loadable, turn, done, reason_of(error)))
            return
        self._serving[model] = loadable.artifact
        self._drained.pop(model, None)
        self._residents.add(model, loadable, taken)
        log.info("%s %s serves", model, loadable.version)
        if turn == self._turns[model]:
            self._busy.discard(model)
            self._attempts.pop(model, None)
            done("")

    def accompany(self, former: Loadable) -> None:
        """Take a trial up again after a restart: load the version before, which answers the other clients."""
        model, turn = former.config.name, self._turns.get(former.config.name, 0)
        if model in self._formers or self._residents.plan(model, former.needed_bytes, ()) != Plan():
            return

        def opened(engine: Engine) -> None:
            if turn != self._turns[model]:
                self._opener.close(engine)
                return
            self._formers[model] = former
            share = former.config.trial_share
            self._on_loop(
                self._table.accompany(model, former.version, engine, former.artifact, share), lambda _: None
            )

        self._opener.open(former, opened, lambda error: log.warning("%s: %s", model, reason_of(error)))

    def settle(self, model: str) -> None:
        """End a trial: the version that serves answers everybody."""
        if self._formers.pop(model, None) is not None:
            self._on_loop(self._table.settle(model), lambda _: None)

    def _revert(self, former: Loadable, done: Done) -> None:
        """Let the version before a trial answer everybody again; it never left memory."""
        model = former.config.name
        turn = self._turn(model)
        del self._formers[model]
        self._busy.add(model)

        async def revert() -> None:
            if not await self._table.revert(model, former.artifact):
                raise TiersError(f"{model} {former.version} is no longer in memory")

        def over(error: BaseException | None) -> None:
            if error is not None and turn == self._turns[model]:
                self._load(former, done)
            else:
                self._swapped(former, turn, done, former.needed_bytes, error)

        self._on_loop(revert(), over)

    def _on_loop(
        self, work: Coroutine[object, object, None], ended: Callable[[BaseException | None], None]
    ) -> None:
        """Do this on the event loop, then tell the control thread how it ended."""

        def over(future: Future[None]) -> None:
            error = future.exception()
            self._post(partial(ended, error))

        asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(over)

    def _if_latest(self, model: str, turn: int, call: Callable[[], None]) -> None:
        if turn == self._turns[model]:
            call()
