"""What ours has to reach, and the figures it is judged by: medians of what was measured.

`report` prints them.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks.syncing.copies import DISK
from benchmarks.syncing.record import Line, Measured

MIRROR, PACKS, SEALED = "ours, mirror", "ours, packs", "ours, packs, encrypted"
LEAST, LIMIT, ALLOWED = "least", "limit", "500 MB/s or 0.8 of the disk"
UNITS = ("s", "cpu s", "MB", "MB resident")
_RESTORE_BYTES_A_SECOND = 500e6
_SHARE_OF_DISK = 0.8


@dataclass(frozen=True)
class Target:
    """A figure of ours divided by one of a peer's, or by what stands for one.

    `LEAST` are the bytes that are new, `LIMIT` is a number, and `ALLOWED` the seconds that a restore may take: at 500
    MB/s, or at 0.8 of the speed with which the same run copied and flushed the same tree, whichever takes longer.
    """

    place: str
    case: str
    unit: str
    ours: str
    peer: str
    most: float
    limit: float = 0.0


_DRIFT = ("2 % in 64 KiB", "2 % in 4 KiB", "1 MiB inserted")

# The aims of the design for these workloads, frozen before the first run, from measurements of a prototype; those of
# `reflink` and of the disk's own limit were added, just as much before they were first measured.
TARGETS = (
    *(
        target
        for place in ("local", "reflink")
        for target in (
            Target(place, "large, first copy", "s", MIRROR, "rsync", 1.1),
            Target(place, "large, 2 % in 64 KiB", "s", MIRROR, "rsync", 0.35),
            Target(place, "large, 2 % in 64 KiB", "MB", MIRROR, LEAST, 1.5),
            Target(place, "large, 2 % in 4 KiB", "MB", MIRROR, LIMIT, 1.0, 60.0),
            Target(place, "large, 1 MiB inserted", "MB", MIRROR, LIMIT, 1.0, 1.5),
            Target(place, "small, 1 % changed", "s", MIRROR, "rsync", 1.0),
            Target(place, "small, nothing changed", "s", MIRROR, "rsync", 1.0),
        )
    ),
    Target("reflink", "large, 1 MiB inserted", "s", MIRROR, "rsync", 1.0),
    Target("local", "large, 2 % in 64 KiB", "s", PACKS, "rsync", 0.35),
    Target("local", "large, 2 % in 64 KiB", "MB", PACKS, LEAST, 1.5),
    Target("local", "large, 2 % in 4 KiB", "MB", PACKS, LIMIT, 1.0, 60.0),
    Target("local", "large, 1 MiB inserted", "MB", PACKS, LIMIT, 1.0, 1.5),
    Target("local", "small, first copy", "s", PACKS, "restic", 0.5),
    Target("local", "small, first copy", "s", PACKS, "rsync", 1.0),
    Target("local", "text, first copy", "MB", PACKS, "borg", 1.05),
    *(
        Target("local", f"{walk}, restored", "s", each, ALLOWED, 1.0)
        for walk in ("large", "small", "text")
        for each in (MIRROR, PACKS, SEALED)
    ),
    Target("s3", "small, nothing changed", "s", PACKS, "rclone", 0.01),
    Target("moto", "small, nothing changed", "s", PACKS, "rclone", 0.01),
    *(
        Target(place, case, "MB resident", each, LIMIT, 1.0, 200.0)
        for place, tools in (
            ("local", (MIRROR, PACKS, SEALED)),
            ("reflink", (MIRROR,)),
            ("ssh", (PACKS, SEALED)),
            ("s3", (PACKS, SEALED)),
        )
        for case in (
            *(f"large, {step}" for step in ("first copy", *_DRIFT, "restored")),
            *(f"small, {step}" for step in ("first copy", "restored")),
        )
        for each in tools
    ),
)


@dataclass(frozen=True)
class Row:
    """One figure of ours beside one of a peer's."""

    case: str
    ours: float
    peer: float
    unit: str
    target: float | None
    single: tuple[float, ...] = ()
    """The ratios of single repetitions in which both ran, from the least to the most."""

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours / self.peer

    @property
    def met(self) -> bool:
        """Whether the target is reached; true without one."""
        return self.target is None or self.ratio <= self.target

    def as_json(self) -> dict[str, object]:
        """Give it as all benchmarks print it."""
        return {
            "case": self.case,
            "ours": round(self.ours, 3),
            "peer": round(self.peer, 3),
            "unit": self.unit,
            "ratio": round(self.ratio, 4),
            "target": self.target,
            "met": self.met,
            "repetitions": len(self.single),
            "least": round(self.single[0], 4) if self.single else None,
            "middle": round(statistics.median(self.single), 4) if self.single else None,
            "most": round(self.single[-1], 4) if self.single else None,
        }


class Figures:
    """What was measured, by place, case and tool, in the order in which they were first seen."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        """Take the measurements of a record."""
        self.runs: dict[tuple[str, str], dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
        for line in lines:
            self.add(line)

    def add(self, line: Line) -> None:
        """Take one more line; what is no measurement says nothing here."""
        if isinstance(line, Measured):
            self.runs[line.place, line.case][line.tool].append(line)

    def new(self, place: str, case: str) -> float | None:
        """Give the MB that a step made new; None when it was not run."""
        tools = self.runs.get((place, case), {})
        return next((run.new / 1e6 for runs in tools.values() for run in runs), None)

    def median(self, place: str, case: str, tool: str, unit: str) -> float | None:
        """Give a median; None when the tool did not run this."""
        runs = self.runs.get((place, case), {}).get(tool)
        return statistics.median(_figure(run, unit) for run in runs) if runs else None

    def targets(self) -> Iterator[Row]:
        """Yield what the targets come to, as far as it was measured."""
        for target in TARGETS:
            tools = self.runs.get((target.place, target.case), {})
            if not (runs := tools.get(target.ours)):
                continue
            peers = {(each.run, each.turn): each for each in tools.get(_peer_of(target), ())}
            beside = [(run, _beside(target, run, peers.get((run.run, run.turn)))) for run in runs]
            single = sorted(_figure(run, target.unit) / peer for run, peer in beside if peer)
            peer = _beside(target, runs[0], _middle(tools.get(_peer_of(target), ())))
            if peer:
                ours = statistics.median(_figure(run, target.unit) for run in runs)
                yield Row(_named(target), ours, peer, target.unit, target.most, tuple(single))

    def unmeasured(self) -> list[str]:
        """Name targets that nothing here says anything about, of places that were measured."""
        rows = {row.case + row.unit for row in self.targets()}
        here = {place for place, _ in self.runs}
        cases = ((_named(each), each.unit) for each in TARGETS if each.place in here)
        return [f"{case}, {unit}" for case, unit in cases if case + unit not in rows]

    def ratios(self, place: str, case: str) -> Iterator[Row]:
        """Yield every figure of ours beside every one of the peers' for a step."""
        tools = self.runs.get((place, case), {})
        own = [name for name in tools if name.startswith("ours")]
        for mine in own:
            for peer in tools:
                for unit in UNITS if peer not in own else ():
                    ours, theirs = (self.median(place, case, name, unit) for name in (mine, peer))
                    if ours is not None and theirs:
                        yield Row(f"{place}: {case}: {mine} / {peer}", ours, theirs, unit, None)


def _named(target: Target) -> str:
    return f"{target.place}: {target.case}: {target.ours} / {target.peer}"


def _peer_of(target: Target) -> str:
    return DISK if target.peer == ALLOWED else target.peer


def _middle(runs: Sequence[Measured]) -> Measured | None:
    """Give a run whose every figure is the median of all."""
    if not runs:
        return None
    names = ("seconds", "processor", "memory", "moved", "wire")
    return msgspec.structs.replace(
        runs[0], **{name: statistics.median(getattr(run, name) for run in runs) for name in names}
    )


def _beside(target: Target, ours: Measured, peer: Measured | None) -> float | None:
    """Give what a figure of ours is divided by."""
    if target.peer == LEAST:
        return ours.new / 1e6
    if target.peer == LIMIT:
        return target.limit
    if target.peer == ALLOWED:
        disk = peer.seconds / _SHARE_OF_DISK if peer is not None else 0.0
        return max(ours.new / _RESTORE_BYTES_A_SECOND, disk)
    return _figure(peer, target.unit) if peer is not None else None


def _figure(run: Measured, unit: str) -> float:
    figures = {
        "s": run.seconds,
        "cpu s": run.processor,
        "MB": run.moved / 1e6,
        "MB resident": run.memory / 1e6,
    }
    return {**figures, "MB wire": run.wire / 1e6}[unit]
