"""Prove a version on this device: fetch its plan if there is one, run the golden check, build where that plan fails.

STAGED of the install table, between `install` and the two that do the work: `plan_fetch` and `trial`. A check that
fails on a plan which another machine has built says nothing about the model yet; so that plan is refused, and the check
runs once more on what this machine builds. For the control thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edge_runtime.activate import Activator
from edge_runtime.golden import Finding
from edge_runtime.opening import Loadable
from edge_runtime.plan_fetch import PlanFetching
from edge_runtime.trial import INTERRUPTED, Trial, Trials


class Proving:
    """Golden checks, each on the plan that will serve."""

    def __init__(self, plans: PlanFetching, trials: Trials, activator: Activator) -> None:
        """Work with these."""
        self._plans = plans
        self._trials = trials
        self._activator = activator

    def start(
        self,
        trial: Trial,
        loadable: Loadable,
        is_current: Callable[[], bool],
        done: Callable[[Finding], None],
    ) -> None:
        """Check a version.

        Args:
            trial: the check.
            loadable: the version, for which room is made in memory.
            is_current: tells whether anybody still waits for it.
            done: gets what was found.
        """

        def check(fetched: str) -> None:
            # The check loads the model once more, so the same room is made for it as for the switch.
            start = partial(self._trials.start, trial, partial(found, fetched))
            self._activator.clear_for(loadable, start)

        def found(fetched: str, finding: Finding) -> None:
            if finding.code and finding.code != INTERRUPTED and fetched and is_current():
                why = f"{finding.code}: {finding.reason}"
                self._plans.refuse(
                    loadable.artifact, fetched, why, lambda: check("") if is_current() else None
                )
            else:
                done(finding)

        self._plans.start(loadable, check)

    def stop(self, model: str) -> None:
        """Check this model no further."""
        self._plans.stop(model)
        self._trials.stop(model)
