"""The place of one model in `models`: what serves, what sleeps, and where questions wait meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from edge_runtime.serving.ask import Answerer, Ask
from edge_runtime.serving.gate import Gate
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.shadow import Comparison, Shadow
from edge_runtime.serving.stats import ModelStats
from toolkit.wire.device_config import ModelConfig


@dataclass(frozen=True)
class Asleep:
    """A version that is loaded when somebody asks for it."""

    version: str
    wake: Callable[[], None]


@dataclass(frozen=True)
class Standing:
    """A version in memory, and what answers for it: the version itself, or what it is dressed in."""

    served: ServedModel
    front: Answerer


@dataclass
class Slot:
    """A model that this device is to serve, with or without a version."""

    config: ModelConfig
    served: ServedModel | None = None
    front: Answerer | None = None
    """What answers for `served`: the version itself, or what it is dressed in."""
    candidate: Standing | None = None
    """The next version, in the shadow of the one that serves."""
    shadow: Shadow | None = None
    compared: tuple[str, Comparison] | None = None
    """The last version that was in the shadow, and how it did."""
    former: Standing | None = None
    """The version before, which answers those clients that are not in `share`."""
    share: float = 1.0
    """Share of clients that the version that serves answers while there is a former one."""
    asleep: Asleep | None = None
    gate: Gate | None = None
    """Where questions wait while nothing is served."""
    stats: list[ModelStats] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def in_memory(self) -> list[ServedModel]:
        """All versions that are loaded, the one that serves first and the next one last."""
        candidate = [] if self.candidate is None else [self.candidate.served]
        return [*self.answering, *candidate]

    @property
    def answering(self) -> list[ServedModel]:
        """Versions that answer clients."""
        former = [] if self.former is None else [self.former.served]
        return former if self.served is None else [self.served, *former]

    def choose(self, ask: Ask) -> Standing | None:
        """Give the former version where it answers this client, or is asked for; None leaves it to the other.

        A client stays with its version, also after a restart: the parameter `ab_key` decides, or whose question it is.
        """
        former = self.former
        if former is None or self.served is None:
            return None
        if ask.version:
            return former if ask.version == former.served.version != self.served.version else None
        key = str(ask.parameters.get("ab_key", "")) or ask.client
        words = f"{self.served.name}\0{self.served.version}\0{key}".encode()
        place = int.from_bytes(blake2b(words, digest_size=8).digest(), "big")
        return None if place < self.share * 2**64 else former

    def take_former(self) -> list[ServedModel]:
        """Take out the former version, which is to be closed."""
        former, self.former = self.former, None
        return [] if former is None else [former.served]

    def take_candidate(self) -> list[ServedModel]:
        """Take out the next version, which is to be closed."""
        self.end_shadow()
        candidate, self.candidate = self.candidate, None
        return [] if candidate is None else [candidate.served]

    def end_shadow(self) -> None:
        """Compare no more."""
        shadow, self.shadow = self.shadow, None
        if shadow is not None:
            shadow.end()

    def take_all(self) -> list[ServedModel]:
        """Take out everything that is loaded."""
        taken = [*self.take_former(), *self.take_candidate()]
        served, self.served, self.front = self.served, None, None
        return taken if served is None else [served, *taken]

    def open(self, problem: str = "") -> None:
        """Let go who waits."""
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.open(problem)
