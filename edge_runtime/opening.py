"""Open versions on the loader thread and count how that ends: what `activate` does before it switches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_runtime.engine.base import Engine
from edge_runtime.engine.choose import PlanRoom, open_engine
from edge_runtime.memory import needed_bytes
from edge_runtime.worker import Worker
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.stages import NO_STAGES, Stages

Lay = Callable[[str, Stages, Engine], None]
"""Lays the stages of an artifact around its engine; raises where they do not fit."""


@dataclass(frozen=True)
class Loadable:
    """A version whose files are here."""

    version: str
    artifact: str
    file: Path
    config: ModelConfig
    stages: Stages = NO_STAGES
    """What its manifest puts around it."""
    memory_bytes: int = 0
    """What its manifest says that it takes; 0 where that says nothing."""
    plans: Path | None = None
    """Where TensorRT's plans are kept."""

    @property
    def needed_bytes(self) -> int:
        """Memory that it will take."""
        return needed_bytes(self.file, self.memory_bytes)


class Opener:
    """Opens and closes engines. For the control thread."""

    def __init__(self, loader: Worker, lay: Lay) -> None:
        """Work on this thread."""
        self._loader = loader
        self._lay = lay
        self.under_way = 0
        """How many versions are being opened or warmed up now."""
        self.loads: Counter[tuple[str, bool]] = Counter()
        """How often a version of a model was opened, by model and whether it worked."""

    def open(
        self, loadable: Loadable, opened: Callable[[Engine], None], failed: Callable[[Exception], None]
    ) -> None:
        """Open a version and run it once; its stages are laid around it."""
        self.under_way += 1

        def worked(engine: Engine) -> None:
            self.under_way -= 1
            self.loads[loadable.config.name, True] += 1
            opened(engine)

        def broke(error: Exception) -> None:
            self.under_way -= 1
            self.loads[loadable.config.name, False] += 1
            failed(error)

        self._loader.submit(partial(_open, loadable, self._lay), worked, broke)

    def close(self, engine: Engine) -> None:
        """Give an engine's memory back."""
        self._loader.submit(engine.close, lambda _: None, lambda _: None)


def _open(loadable: Loadable, lay: Lay) -> Engine:
    room = None if loadable.plans is None else PlanRoom(loadable.plans, loadable.config.max_batch)
    engine = open_engine(loadable.file, engine=loadable.config.engine, room=room)
    try:
        lay(loadable.artifact, loadable.stages, engine)
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    return engine
