"""From rollouts and reports to what each device shall run. Pure; between `protocol.waves` and `steer`.

Of each model's rollouts only the one with the highest number counts. What a device runs of other models stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from msgspec.structs import replace as with_changes

from toolkit.protocol.waves import Progress, RolloutState, Step
from toolkit.protocol.waves_tally import REFUSED
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.digest import parse_digest
from toolkit.wire.report import ModelReport, Report
from toolkit.wire.rollout import Rollout, attempt_label, read_attempt
from toolkit.wire.states import InstallState


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
                stale = said.state in REFUSED and read_attempt(said.rollout)[0] not in {"", rollout.name}
                found[device] = with_changes(said, state=InstallState.IDLE) if stale else said
    return found


def entry_of(rollout: Rollout, desired: Desired | None) -> DesiredModel | None:
    """Give the line of a desired state about a rollout's model, when this rollout's version stands in it."""
    for entry in desired.models if desired else ():
        if entry.model == rollout.spec.model:
            return entry if entry.artifact == rollout.spec.artifact else None
    return None


def resume(rollout: Rollout, desired: Mapping[str, Desired], progress: Progress) -> Progress:
    """Go on where the desired states say that it was: they know better than what was noted a moment before."""
    reached = 0
    for position, device in enumerate(rollout.spec.devices, start=1):
        entry = entry_of(rollout, desired.get(device))
        if entry is not None and read_attempt(entry.rollout)[0] == rollout.name:
            reached = position
    progress = replace(progress, told=max(progress.told, reached))
    waves = rollout.spec.waves
    wave = next((number for number, each in enumerate(waves) if each.devices >= reached), len(waves) - 1)
    if wave <= progress.wave:
        return progress
    return replace(progress, wave=wave, soak_since=None, wave_since=None)


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
    if device in decided.having or (follows and decided.progress.state is RolloutState.SUCCEEDED):
        label = attempt_label(rollout.name, decided.attempts.get(device, 1))
        mine = DesiredModel(
            model=spec.model, version=spec.version, artifact=spec.artifact, rollout=label, now=spec.now
        )
    elif (device in decided.going_back or (follows and decided.take_back)) and any(
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
