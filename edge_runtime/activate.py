"""Load versions and switch between them: the hands of ACTIVATING, PROBATION and every rollback.

`install` calls from the control thread; opening happens on the loader thread beside the version that serves; the switch
itself is one assignment on the event loop (`serving.models`), so no request fails. Only what `install` has saved is
ever served, and the version before it goes on until the new one is ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_runtime.engine.base import Engine
from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.models import ModelTable
from edge_runtime.worker import Post, Worker
from toolkit.errors import TiersError
from toolkit.wire.device_config import ModelConfig

log = logging.getLogger(__name__)
Done = Callable[[str], None]
"""Gets an empty string when it worked, else the reason."""


@dataclass(frozen=True)
class Loadable:
    """A version whose files are here."""

    version: str
    artifact: str
    file: Path
    config: ModelConfig


class Activator:
    """Prepares and switches the versions of all models."""

    def __init__(
        self, table: ModelTable, loop: asyncio.AbstractEventLoop, loader: Worker, post: Post
    ) -> None:
        """Work on this table, which belongs to this loop."""
        self._table = table
        self._loop = loop
        self._loader = loader
        self._post = post
        self._prepared: dict[str, tuple[str, Engine]] = {}
        self._serving: dict[str, str] = {}
        self._turns: dict[str, int] = {}
        self.loads: Counter[tuple[str, bool]] = Counter()
        """How often a version of a model was opened, by model and whether it worked; the check before counts too."""

    def serving(self, model: str) -> str:
        """Give the artifact that answers requests for a model; empty when none does."""
        return self._serving.get(model, "")

    def failures(self, model: str, version: str) -> int:
        """Give how many inferences the engine of this version has failed."""
        return sum(
            stats.outcomes["failed"]
            for stats in self._table.stats()
            if (stats.model, stats.version) == (model, version)
        )

    def prepare(self, loadable: Loadable, done: Done) -> None:
        """Open a version and run it once, beside the one that serves."""
        model = loadable.config.name
        self.drop(model)

        def opened(engine: Engine) -> None:
            self.drop(model)
            self._prepared[model] = (loadable.artifact, engine)
            done("")

        self._open(loadable, opened, lambda error: done(_reason(error)))

    def drop(self, model: str) -> None:
        """Let go of what was prepared for a model."""
        prepared = self._prepared.pop(model, None)
        if prepared is not None:
            self._loader.submit(prepared[1].close, lambda _: None, lambda _: None)

    def serve(self, loadable: Loadable, done: Done) -> None:
        """Serve this version; what was asked for before and is not ready yet is given up."""
        model = loadable.config.name
        turn = self._turn(model)
        prepared = self._prepared.get(model)
        if self._serving.get(model) == loadable.artifact:
            self._post(partial(done, ""))
        elif prepared is not None and prepared[0] == loadable.artifact:
            del self._prepared[model]
            self._swap(loadable, prepared[1], turn, done)
        else:
            self._open(
                loadable,
                lambda engine: self._swap(loadable, engine, turn, done),
                lambda error: self._if_latest(model, turn, done, _reason(error)),
            )

    def withdraw(self, model: str, done: Done) -> None:
        """Serve no version of this model."""
        turn = self._turn(model)
        self._serving.pop(model, None)
        swap = asyncio.run_coroutine_threadsafe(self._table.withdraw(model), self._loop)
        swap.add_done_callback(lambda _: self._post(lambda: self._if_latest(model, turn, done, "")))

    # ------------------------------------------------------------ inside
    def _open(
        self, loadable: Loadable, opened: Callable[[Engine], None], failed: Callable[[Exception], None]
    ) -> None:
        """Open a version on the loader thread, and count how that ended."""

        def worked(engine: Engine) -> None:
            self.loads[loadable.config.name, True] += 1
            opened(engine)

        def broke(error: Exception) -> None:
            self.loads[loadable.config.name, False] += 1
            failed(error)

        self._loader.submit(partial(_open, loadable), worked, broke)

    def _turn(self, model: str) -> int:
        self._turns[model] = self._turns.get(model, 0) + 1
        return self._turns[model]

    def _swap(self, loadable: Loadable, engine: Engine, turn: int, done: Done) -> None:
        model = loadable.config.name
        if turn != self._turns[model]:
            self._loader.submit(engine.close, lambda _: None, lambda _: None)
            return

        def swapped(swap: Future[None]) -> None:
            error = swap.exception()
            self._post(lambda: self._swapped(loadable, turn, done, error))

        swap = asyncio.run_coroutine_threadsafe(self._table.swap(model, loadable.version, engine), self._loop)
        swap.add_done_callback(swapped)

    def _swapped(self, loadable: Loadable, turn: int, done: Done, error: BaseException | None) -> None:
        model = loadable.config.name
        if error is None:
            self._serving[model] = loadable.artifact
            log.info("%s %s serves", model, loadable.version)
        self._if_latest(model, turn, done, "" if error is None else _reason(error))

    def _if_latest(self, model: str, turn: int, done: Done, reason: str) -> None:
        if turn == self._turns[model]:
            done(reason)


def _open(loadable: Loadable) -> Engine:
    engine = open_engine(loadable.file, engine=loadable.config.engine)
    try:
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    return engine


def _reason(error: BaseException) -> str:
    return error.message if isinstance(error, TiersError) else f"{type(error).__name__}: {error}"
