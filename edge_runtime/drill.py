"""Fault injection for drills and tests: stop the daemon at a chosen moment, so that it can be killed there.

`tiers-edge run --hold STATE` stops right after the arrow into STATE was saved and reported, before its work begins;
`--hold STATE:done` stops when the work of STATE has ended, before the arrow out of it is saved. `--hold WRITE:before`
and `--hold WRITE:after` stop on the two sides of a durable write (`Write` lists them), in the thread that writes; `#N`
behind any of these means the Nth time. What has to stop stands still, the rest of the daemon goes on, and so does
serving. `--pace` shortens the patience of transfers. Without these options nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Final, Literal, get_args

from toolkit.errors import UsageError
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.states import InstallState

Write = Literal[
    "counter",
    "desired",
    "installation",
    "manifest",
    "index",
    "part",
    "chunks",
    "bitmap",
    "tally",
    "version",
    "delete",
    "forget",
    "serving",
]
"""Everything that a daemon makes durable. In SQLite: counter (starts, numbers of reports), desired, installation,
manifest, bitmap, tally, forget. As files: index, part (made, its space taken), chunks (fdatasync of the part), version
(its folder gets its name), delete (of a part, a version or an index), serving (serving.json)."""

WRITES: Final[tuple[Write, ...]] = get_args(Write)
RecordWrite = Literal["outbox", "outbox-delete"]
"""What the outbox makes durable: records put down or dropped, and the deletion of those that are stored elsewhere."""
RECORD_WRITES: Final[tuple[RecordWrite, ...]] = get_args(RecordWrite)
PlanWrite = Literal["plan"]
"""What a machine with a GPU makes durable besides: a plan that another one has built gets its name."""
PLAN_WRITES: Final[tuple[PlanWrite, ...]] = get_args(PlanWrite)
_ALL: Final = frozenset({*WRITES, *RECORD_WRITES, *PLAN_WRITES})
_DONE = ":done"


class Drill:
    """The moments at which to stop. Each stops once."""

    def __init__(
        self,
        points: Iterable[str],
        announce: Callable[[str, str], None],
        wait: Callable[[], None],
        pace: PaceSettings | None = None,
    ) -> None:
        """Choose the moments.

        Args:
            points: `STATE`, `STATE:done`, `WRITE:before` or `WRITE:after`, each perhaps with `#N`.
            announce: told the model (empty at a write) and the point when the daemon stops there.
            wait: comes back when the daemon shall go on.
            pace: limits of transfers; None means the usual ones.

        Raises:
            UsageError: a point names neither a state nor a write.
        """
        self._announce = announce
        self._wait = wait
        self.pace = pace or PaceSettings()
        self._left: dict[str, int] = {}
        for point in points:
            name, _, times = point.partition("#")
            if not (_is_point(name) and (not times or times.isdecimal())):
                states = ", ".join(InstallState.__members__)
                writes = ", ".join((*WRITES, *RECORD_WRITES, *PLAN_WRITES))
                hint = f"one of {states}, or STATE:done; or :before or :after with {writes}"
                raise UsageError(f"there is no state and no write {point!r} to hold", hint=hint)
            self._left[name] = int(times or 1)

    def entered(self, model: str, state: InstallState) -> None:
        """Stop here if asked to: the state was saved, its work has not begun."""
        self._stop(model, state.value)

    def leaving(self, model: str, state: InstallState) -> None:
        """Stop here if asked to: the work has ended, the next state was not saved."""
        self._stop(model, state.value + _DONE)

    @contextmanager
    def write(self, write: Write | RecordWrite | PlanWrite) -> Iterator[None]:
        """Stop before and after a durable write, which is what stands in the `with`, if asked to."""
        self._stop("", f"{write}:before")
        yield
        self._stop("", f"{write}:after")

    def _stop(self, model: str, point: str) -> None:
        left = self._left.get(point, 0)
        if left:
            self._left[point] = left - 1
            if left == 1:
                self._announce(model, point)
                self._wait()


NO_DRILL: Final = Drill((), lambda _model, _point: None, lambda: None)


def read_pace(limits: Iterable[str]) -> PaceSettings:
    """Read `--pace NAME=NUMBER`; what is not named stays as it is.

    Raises:
        UsageError: there is no such limit, or it is no number above zero.
    """
    pace = PaceSettings()
    names = {each.name: type(getattr(pace, each.name)) for each in fields(pace)}
    for limit in limits:
        name, _, number = limit.partition("=")
        try:
            value = names[name](number)
        except (KeyError, ValueError) as error:
            hint = f"write NAME=NUMBER with one of {', '.join(names)}"
            raise UsageError(f"{limit!r} is no limit of a transfer", hint=hint) from error
        if value <= 0:
            raise UsageError(f"{limit!r} is not above zero", hint="give a larger number")
        pace = replace(pace, **{name: value})
    return pace


def _is_point(name: str) -> bool:
    write, _, side = name.partition(":")
    if write in _ALL:
        return side in {"before", "after"}
    return name.removesuffix(_DONE) in InstallState.__members__
