"""Which versions are in memory, what each takes, and who leaves when another one has to come in.

`activate` asks for a `Plan` before it loads anything. Idle lazy models leave first, the one that nobody has asked for
longest before the others: that costs their next request a wait. Only when that is not enough, or the model's own former
version is enough without it, is that one closed before the new one comes, and the model's questions wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edge_runtime.memory import RESERVE, free_bytes
from edge_runtime.opening import Loadable


@dataclass(frozen=True)
class Memory:
    """How much may be used."""

    budget_bytes: int = 0
    """For all models together; 0 leaves it to the machine."""
    free: Callable[[], int | None] = free_bytes
    """Gives what the machine has left; None where nobody knows."""


@dataclass(frozen=True)
class Plan:
    """What must leave memory before something comes in."""

    leave: tuple[str, ...] = ()
    """Models that are unloaded until somebody asks for them."""
    drain: bool = False
    """Whether the model's own former version is closed first."""


@dataclass
class Residents:
    """What is in memory."""

    memory: Memory = field(default_factory=Memory)
    _held: dict[str, tuple[Loadable, int]] = field(default_factory=dict)

    def add(self, model: str, version: Loadable, taken: int) -> None:
        """Take note of a version that is in memory now, and of the bytes that it takes."""
        self._held[model] = (version, taken)

    def remove(self, model: str) -> Loadable | None:
        """Take note that a model is no longer in memory, and give what it was."""
        held = self._held.pop(model, None)
        return None if held is None else held[0]

    def version(self, model: str) -> Loadable | None:
        """Give the version of a model that is in memory."""
        held = self._held.get(model)
        return None if held is None else held[0]

    def idle(self, since: Callable[[str], float | None], may_leave: Callable[[str], bool]) -> list[str]:
        """List the lazy models that may leave, first the one that nobody has asked for longest.

        Args:
            since: gives the moment of a model's last question; None while it is in use.
            may_leave: whether nothing else keeps it.
        """
        lazy = [model for model, (version, _) in self._held.items() if version.config.load == "lazy"]
        known = [
            (moment, model) for model in lazy if (moment := since(model)) is not None and may_leave(model)
        ]
        return [model for _, model in sorted(known)]

    @property
    def held_bytes(self) -> int:
        """What all of them take."""
        return sum(taken for _, taken in self._held.values())

    def plan(self, model: str, needed: int, idle: Iterable[str]) -> Plan:
        """Say what must leave before `needed` bytes for a model come in.

        Args:
            model: whose version is to be loaded; its former one stays if it can.
            needed: bytes.
            idle: models that may leave, the one to leave first before the others.
        """
        short = self._short(needed)
        if short <= 0:
            return Plan()
        own = self._held[model][1] if model in self._held else 0
        leave: list[str] = []
        left = short
        for each in idle:
            if left > 0 and each != model and each in self._held:
                leave.append(each)
                left -= self._held[each][1]
        if left <= 0 or not own:
            return Plan(tuple(leave))
        return Plan((), drain=True) if own >= short else Plan(tuple(leave), drain=True)

    def _short(self, needed: int) -> int:
        """Give the bytes that are missing; 0 or less when none are."""
        free = self.memory.free()
        short = 0 if free is None else needed + RESERVE - free
        if self.memory.budget_bytes:
            short = max(short, self.held_bytes + needed - self.memory.budget_bytes)
        return short
