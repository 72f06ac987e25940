"""From tiers.yaml to a rollout's document: which devices, under which name, back to which version. Pure.

Comes after `topology` and `registry`, before `rollout_plan`, which lays out the waves, and `rollout`, which publishes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit.errors import RolloutError
from toolkit.fleet.course import progress_of
from toolkit.fleet.wanted import leading, reports_of, resume
from toolkit.protocol.waves import RolloutState, step
from toolkit.topology.findings import did_you_mean
from toolkit.topology.model import Model
from toolkit.topology.topology import Topology
from toolkit.wire.course import Course
from toolkit.wire.desired import Desired
from toolkit.wire.report import Report
from toolkit.wire.rollout import Rollout

_LONGEST_NAME = 63


@dataclass(frozen=True)
class Candidates:
    """Who may get a version."""

    labels: Mapping[str, Mapping[str, str]]
    """Device -> labels that it carries."""
    held: tuple[str, ...] = ()
    """Devices that are left out because tiers.yaml says `hold` of them."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.labels)


@dataclass(frozen=True)
class Known:
    """A version and its artifact; both empty when there is none."""

    version: str = ""
    artifact: str = ""


def model_named(topology: Topology, name: str) -> Model:
    """Give a model of tiers.yaml.

    Raises:
        RolloutError: there is none of this name, or devices could not take what its source names.
    """
    model = topology.models.get(name)
    if model is None:
        known = ", ".join(topology.models) or "none"
        raise RolloutError(
            f"tiers.yaml has no model {name!r}{did_you_mean(name, topology.models)}",
            hint=f"add it under models:, or choose one of: {known}",
        )
    if model.artifact != name:
        raise RolloutError(
            f"model {name} has a source named {model.artifact}, and devices take only one of the model's own name",
            hint=f"push it as {name}, and write source: {name}@{model.version}",
        )
    return model


def candidates(topology: Topology, name: str, chosen: Sequence[str] = ()) -> Candidates:
    """Give the devices of a model's pools, or the chosen ones of them, without those on hold.

    Raises:
        RolloutError: a chosen device is in none of the pools, or nobody is left.
    """
    placed = {
        device: pool for pool in map(topology.pool, topology.models[name].pools) for device in pool.node_names
    }
    settings = {device: topology.settings_of(pool, device) for device, pool in placed.items()}
    pools = ", ".join(topology.models[name].pools) or "none"
    for device in chosen:
        if device not in settings:
            raise RolloutError(
                f"device {device!r} is in no pool of model {name} ({pools}){did_you_mean(device, settings)}",
                hint=f"add it to a pool of the model, or leave --device out: tiers rollout start {name}",
            )
    wanted = tuple(dict.fromkeys(chosen)) or tuple(settings)
    held = tuple(device for device in wanted if settings[device].hold)
    devices = tuple(device for device in wanted if not settings[device].hold)
    if not devices:
        why = (
            f"its devices are on hold ({', '.join(held[:5])})"
            if held
            else f"its pools ({pools}) have no device"
        )
        raise RolloutError(
            f"nobody can get model {name}: {why}",
            hint=f"tiers explain models.{name}.pools, then give a pool nodes or take hold away",
        )
    return Candidates({device: placed[device].labels_of(device) for device in devices}, held)


def followers(topology: Topology, name: str) -> tuple[str, ...]:
    """Give the services that answer for a model: their servers get a version when all devices have it."""
    return tuple(sorted(each for each, service in topology.services.items() if name in service.models))


def default_name(model: str, version: str, number: int) -> str:
    """Give MODEL-VERSION-NUMBER in characters that a topic and a Kubernetes label take, at most 63."""
    end = f"-{number}"
    text = re.sub(r"[^a-z0-9.-]", "-", f"{model}-{version}".lower())
    return text[: _LONGEST_NAME - len(end)].rstrip(".-") + end


def next_number(rollouts: Iterable[Rollout]) -> int:
    """Give the number of the next rollout of a site."""
    return max((rollout.number for rollout in rollouts), default=0) + 1


def is_under_way(
    rollout: Rollout,
    reports: Mapping[str, Report],
    desired: Mapping[str, Desired],
    course: Course | None = None,
) -> bool:
    """Say whether a rollout brings, or has brought, its version: not stopped, not taken back, not failed."""
    if rollout.action not in {"run", "pause"}:
        return False
    seen = resume(rollout, desired, progress_of(rollout, course, 0.0))
    state = step(rollout, reports_of(rollout, reports), seen, 0.0).progress.state
    return state not in {RolloutState.FAILED, RolloutState.TIMED_OUT, RolloutState.ROLLING_BACK}


def version_before(
    model: str,
    artifact: str,
    devices: Iterable[str],
    *,
    rollouts: Iterable[Rollout],
    reports: Mapping[str, Report],
    desired: Mapping[str, Desired],
    courses: Mapping[str, Course],
) -> Known:
    """Give the version that a rollback shall bring back: the one that most of the devices shall run now.

    The new one does not count, nor does that of a rollout that failed or was stopped. When the desired states say
    nothing else, it is what the newest rollout of the model brought, or brought back.

    Args:
        model: name of the model.
        artifact: the new artifact, which is never its own predecessor.
        devices: of the new rollout.
        rollouts: all of the site that can be believed.
        reports: what the devices say.
        desired: what the devices shall run.
        courses: how far each rollout has come.
    """
    newest = leading(rollouts).get(model)
    good = newest is not None and is_under_way(newest, reports, desired, courses.get(newest.name))
    bad = {artifact} if newest is None or good else {artifact, newest.spec.artifact}
    counts: dict[Known, int] = {}
    for device in devices:
        standing = desired.get(device)
        for entry in standing.models if standing else ():
            if entry.model == model and entry.artifact not in bad:
                known = Known(entry.version, entry.artifact)
                counts[known] = counts.get(known, 0) + 1
    if counts:
        return max(counts, key=lambda known: (counts[known], known.version))
    if newest is None:
        return Known()
    spec = newest.spec
    brought = [Known(spec.version, spec.artifact), Known(spec.previous_version, spec.previous_artifact)]
    return next((known for known in brought if known.artifact not in bad), Known())
