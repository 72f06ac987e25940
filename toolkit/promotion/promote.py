"""Bring a version to where it counts: check its gates, start its rollout or find the one that there is, and wait.

    gates -> fleet.rollout.start -> fleet.follow -> Promotion, for `summary` and the exit code of `tiers model promote`

The rollout is a document on the broker and belongs to its driver: whoever waits here may be ended at any moment, and
whoever asks again finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import GateRefusedError, TiersError
from toolkit.fleet.follow import follow, verdict
from toolkit.fleet.intent import model_named
from toolkit.fleet.reports import Watch
from toolkit.fleet.rollout import StartRequest
from toolkit.fleet.rollout import start as start_rollout
from toolkit.fleet.status import RolloutRow
from toolkit.promotion.gates import Check, check_gates
from toolkit.sync.layouts.packs import PackStore
from toolkit.topology.topology import Topology
from toolkit.wire.keyring import Keyring

Outcome = Literal["promoted", "refused", "failed", "open", "left"]
"""Everybody has it; a gate is shut and nothing was started; the rollout failed; time is over; we were told to leave."""


@dataclass(frozen=True)
class PromoteRequest:
    """What shall go where."""

    model: str
    version: str = ""
    """Empty takes the one of tiers.yaml."""
    to: str = "production"
    """Name of the environment, for people."""
    seconds: float = 3600.0
    """How long to wait for the end of the rollout."""


@dataclass(frozen=True)
class Promotion:
    """What came of it."""

    model: str
    version: str
    to: str
    site: str
    outcome: Outcome
    checks: tuple[Check, ...]
    artifact: str = ""
    rollout: str = ""
    """Empty when none was started."""
    repeated: bool = False
    """The rollout was there already."""
    notes: tuple[str, ...] = ()
    status: RolloutRow | None = None

    @property
    def passed(self) -> bool:
        """Whether every device that counts has the version."""
        return self.outcome == "promoted"

    def error(self, seconds: float) -> TiersError | None:
        """Give what a wait of so many seconds ended with; None when it is promoted, or was left before its end."""
        shut = [check for check in self.checks if not check.passed]
        if shut:
            why = "; ".join(f"{check.gate}: {check.found}" for check in shut)
            return GateRefusedError(
                f"{self.model}@{self.version} may not go to {self.to}: {why}", hint=shut[0].cure
            )
        return verdict(self.status, seconds) if self.status and self.outcome != "left" else None


def promote(
    topology: Topology,
    store: PackStore,
    site: Callable[[], AbstractContextManager[Watch]],
    key: Ed25519PrivateKey,
    keyring: Keyring,
    request: PromoteRequest,
    *,
    on_change: Callable[[RolloutRow], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Promotion:
    """Promote a version. Doing it again is harmless: it finds the rollout that brings, or has brought, the version.

    Args:
        topology: says devices, waves and gates.
        store: the registry.
        site: connects to the broker; called only when all gates are open.
        key: the operator's.
        keyring: whose registry keys count.
        request: what shall go where.
        on_change: told of each change while it waits.
        stop: asked again and again; True leaves, and the rollout goes on.

    Raises:
        RolloutError: tiers.yaml has no such model, or nobody can get it.
        RegistryError: the registry has no such version.
        UnreachableError: the broker does not answer.
    """
    model = model_named(topology, request.model)
    version = request.version or model.version
    checked = check_gates(topology, store, keyring, request.model, version)
    made = Promotion(
        request.model, version, request.to, topology.name, "refused", checked.checks,
        artifact=checked.artifact.id if checked.artifact else "",
    )  # fmt: skip
    if not checked.passed:
        return made
    if stop():
        return replace(made, outcome="left")
    with site() as watch:
        started = start_rollout(
            watch, topology, store, key, StartRequest(request.model, version), keyring=keyring
        )
        name = started.rollout.name
        row = follow(watch, name, request.seconds, on_change, stop)
    return replace(
        made, outcome=_outcome(row, left=stop()), rollout=name, repeated=started.repeated, notes=started.notes,
        status=row,
    )  # fmt: skip


def _outcome(row: RolloutRow, *, left: bool) -> Outcome:
    if row.state == "SUCCEEDED":
        return "promoted"
    if row.ended:
        return "failed"
    return "left" if left else "open"
