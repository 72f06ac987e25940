"""From rollouts and reports to what each device shall run. Pure; between `protocol.waves` and `steer`.

Of each model's rollouts only the one with the highest number counts. What a device runs of other models stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from msgspec.structs import replace as with_changes

from toolkit.protocol.waves import Progress, RolloutState, Step
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.digest import parse_digest
from toolkit.wire.report import ModelReport, Report
from toolkit.wire.rollout import Rollout
from toolkit.wire.states import InstallState

REFUSED = frozenset({InstallState.REJECTED, InstallState.FAILED, InstallState.ROLLED_BACK})
"""States in which a device has said no to a version."""


def leading(rollouts: Iterable[Rollout]) -> dict[str, Rollout]:
    """Give each model's rollout with the highest number; the name decides between two that began at the same moment."""
    found: dict[str, Rollout] = {}
    for rollout in sorted(rollouts, key=lambda each: (each.number, each.name)):
        found[rollout.spec.model] = rollout
    return found


def reports_of(rollout: Rollout, reports: Mapping[str, Report]) -> dict[str, ModelReport]:
    """Give what the devices of a rollout say of its model.

    A refusal that answers an earlier rollout of the same version says nothing about this one: the device tries again
    for a new rollout, so until it has, it counts as not having answered.
    """
    found: dict[str, ModelReport] = {}
    for device in rollout.spec.devices:
        for said in reports[device].models if device in reports else ():
            if said.model == rollout.spec.model:
                stale = said.state in REFUSED and said.rollout not in {"", rollout.name}
                found[device] = with_changes(said, state=InstallState.IDLE) if stale else said
    return found


def entry_of(rollout: Rollout, desired: Desired | None) -> DesiredModel | None:
    """Give the line of a desired state about a rollout's model, when this rollout's version stands in it."""
    for entry in desired.models if desired else ():
        if entry.model == rollout.spec.model:
            return entry if entry.artifact == rollout.spec.artifact else None
    return None


def resume(rollout: Rollout, desired: Mapping[str, Desired], progress: Progress) -> Progress:
    """Go on in the wave that was reached already, as the desired states tell: a driver that starts anew knows no more.

    Only its soak begins again, which errs on the safe side.
    """
    reached = 0
    for position, device in enumerate(rollout.spec.devices, start=1):
        entry = entry_of(rollout, desired.get(device))
        if entry is not None and entry.rollout == rollout.name:
            reached = position
    waves = rollout.spec.waves
    wave = next((number for number, each in enumerate(waves) if each.devices >= reached), len(waves) - 1)
    return replace(progress, wave=wave, soak_since=None) if wave > progress.wave else progress


def changed(
    models: tuple[DesiredModel, ...], rollout: Rollout, decided: Step, device: str
) -> tuple[DesiredModel, ...]:
    """Give a device's models after one rollout's step, sorted by name.

    Args:
        models: what stands in its desired state.
        rollout: the leading rollout of a model.
        decided: what `waves.step` said of it.
        device: one of its devices or followers; a follower gets the version when the rollout has succeeded.
    """
    spec = rollout.spec
    others = tuple(entry for entry in models if entry.model != spec.model)
    follows = device in spec.followers
    if device in decided.shall_have or (follows and decided.progress.state is RolloutState.SUCCEEDED):
        mine = DesiredModel(
            model=spec.model, version=spec.version, artifact=spec.artifact, rollout=rollout.name
        )
    elif (device in decided.take_back or (follows and decided.take_back)) and any(
        entry.model == spec.model and entry.artifact == spec.artifact for entry in models
    ):
        if not spec.previous_artifact:
            return others
        mine = DesiredModel(
            model=spec.model,
            version=spec.previous_version,
            artifact=parse_digest(spec.previous_artifact, what="previous artifact"),
            rollout=rollout.name,
        )
    else:
        return models
    return tuple(sorted((*others, mine), key=lambda entry: entry.model))
