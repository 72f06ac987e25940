"""Rising load with images that come again: our daemon, as `tiers.yaml` sets it up, against the plain server.

Requests come by a Poisson process at rates that rise by a quarter from step to step. Most of them are for one of a few
images, as frames of a still probe are; the others are for an image that nobody asked for before. A rate is kept when 99
of 100 answers come within half a second and none is refused or missing. Time counts from the moment a request was due.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.asking.bodies import Body
from benchmarks.asking.load import Plan, load, write_requests
from benchmarks.asking.models import Shape, image_of

LIMIT_SECONDS = 0.5
REPEATS, POPULAR = 0.8, 32
"""Share of requests that are for one of so many images."""
STEP = 1.25
CONNECTIONS = 128
FEWEST = 20
"""Answers of a step below which it says nothing."""


@dataclass(frozen=True)
class Step:
    """What one rate gave."""

    rate: float
    mean: float
    """Seconds."""
    p99: float
    kept: bool


class Ramp:
    """One server under rising load."""

    def __init__(self, address: str, body: Body, shape: Shape, folder: Path, images: int) -> None:
        """Make the requests: popular images first, then so many new ones."""
        self._address, self._folder = address, folder
        self._images, self._body, self._shape = images, body, shape
        self._asked = 0

    def step(self, rate: float, seconds: float) -> Step:
        """Ask at this rate; images that were new in one step do not come again in another."""
        fresh = int(rate * seconds * (1 - REPEATS) * 1.5) + FEWEST
        first = POPULAR + self._asked
        self._asked += fresh
        images = [*range(POPULAR), *range(first, first + fresh)]
        file = self._folder / "ramp.requests"
        plan = Plan(
            address=self._address,
            requests=write_requests(file, [self._body(image_of(self._shape, seed)) for seed in images]),
            result=str(self._folder / "ramp.json"),
            clients=CONNECTIONS,
            seconds=seconds,
            rate=rate,
            repeats=REPEATS,
            popular=POPULAR,
            seed=int(rate),
        )
        seen = load(plan)
        if len(seen.times) < FEWEST:
            return Step(rate, float("inf"), float("inf"), kept=False)
        p99 = seen.times[len(seen.times) * 99 // 100]
        whole = not seen.unanswered and seen.statuses.keys() == {"200"}
        return Step(rate, statistics.mean(seen.times), p99, kept=whole and p99 < LIMIT_SECONDS)

    def climb(self, first: float, seconds: float) -> Step:
        """Give the highest rate that is kept; two steps in a row that are not end it."""
        best, missed, rate = Step(0.0, float("inf"), float("inf"), kept=False), 0, first
        while missed < 2:
            step = self.step(rate, seconds)
            best, missed = (step, 0) if step.kept else (best, missed + 1)
            rate *= STEP
        return best
