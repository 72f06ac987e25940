"""A test double of the HPA controller's arithmetic, for the behaviour that is rendered. It is not the controller.

After pkg/controller/podautoscaler of Kubernetes 1.35: replicas by metric (replica_calculator.go), stabilization and
policies (horizontal.go). tests/toolkit/cluster/test_autoscaling.py asks the real one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SYNC = 15
DEFAULT_TOLERANCE = 0.1


@dataclass
class Controller:
    """Holds what the real one remembers between two syncs; times are in seconds."""

    least: int
    most: int
    behavior: dict[str, dict]
    current: int
    recommended: list[tuple[float, int]] = field(default_factory=list)
    changed: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now: float, ready: int, pressure: float | None, floors: tuple[float, ...] = ()) -> int:
        """Give the replicas after one sync; pressure is of type Value, floors are AverageValue, all with target 1."""
        proposals = [self._by_floor(floor) for floor in floors]
        if pressure is not None:
            proposals.append(self._by_ratio(pressure, ready))
        wanted = self._stabilized(now, max(proposals, default=self.current))
        limited = min(max(self._limited(now, wanted), self.least), self.most)
        if limited != self.current:
            self.changed.append((now, limited - self.current))
        self.current = limited
        return limited

    def _tolerance(self, direction: str) -> float:
        return float(self.behavior[direction].get("tolerance", DEFAULT_TOLERANCE))

    def _within(self, ratio: float) -> bool:
        return 1 - self._tolerance("scaleDown") <= ratio <= 1 + self._tolerance("scaleUp")

    def _by_ratio(self, ratio: float, ready: int) -> int:
        return self.current if self._within(ratio) else math.ceil(ratio * ready)

    def _by_floor(self, floor: float) -> int:
        return self.current if self._within(floor / self.current) else math.ceil(floor)

    def _stabilized(self, now: float, proposal: int) -> int:
        if not self.recommended:  # as recordInitialRecommendation does
            self.recommended.append((now, self.current))
        self.recommended.append((now, proposal))
        up = self.behavior["scaleUp"]["stabilizationWindowSeconds"]
        down = self.behavior["scaleDown"]["stabilizationWindowSeconds"]
        lowest = min([each for then, each in self.recommended if then > now - up], default=proposal)
        highest = max(each for then, each in self.recommended if then > now - down or then == now)
        return max(min(self.current, highest), lowest)

    def _limited(self, now: float, wanted: int) -> int:
        if wanted > self.current:
            steps = [
                self._before(now, each) + each["value"]
                if each["type"] == "Pods"
                else math.ceil(self._before(now, each) * (1 + each["value"] / 100))
                for each in self.behavior["scaleUp"]["policies"]
            ]
            return min(wanted, max(self.current, *steps))
        if wanted < self.current:
            steps = [
                int(self._before(now, each) * (1 - each["value"] / 100))
                for each in self.behavior["scaleDown"]["policies"]
            ]
            return max(wanted, min(self.current, *steps))
        return wanted

    def _before(self, now: float, policy: dict) -> int:
        """Give the replicas at the start of a policy's period."""
        return self.current - sum(by for then, by in self.changed if then > now - policy["periodSeconds"])
