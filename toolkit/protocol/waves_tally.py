"""Count where the devices of a rollout stand. Pure; the first thing that `waves.step` does.

One pass over the devices, because a fleet may have a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Retry, Rollout, RolloutSpec, read_attempt
from toolkit.wire.states import InstallState

REFUSED = frozenset({InstallState.REJECTED, InstallState.FAILED, InstallState.ROLLED_BACK})
"""States in which a device has said no to a version."""
_SERVING = frozenset({InstallState.PROBATION, InstallState.ACTIVE})


@dataclass
class Requests:
    """What the devices of the running wave answered with the version."""

    requests: int = 0
    failures: int = 0
    weighted_p99: float = 0.0
    """Sum of each device's p99, in seconds, times its requests."""

    @property
    def p99_seconds(self) -> float:
        """Mean of the devices' p99, weighted by their requests.

        Percentiles cannot be put together; this one is above a limit when all devices are, and below when all are.
        """
        return self.weighted_p99 / self.requests if self.requests else 0.0


@dataclass
class Tally:
    """Devices by where they stand. `wave_…` counts those that the running wave has added."""

    active: int = 0
    """Of those that the wave reaches, all waves before included."""
    refused: int = 0
    """Of all devices."""
    waiting: int = 0
    """Of those that the wave reaches: neither active nor refused."""
    offline: int = 0
    """Of those that wait: not connected."""
    in_flight: int = 0
    """Told, not done, and connected."""
    wave_size: int = 0
    wave_active: int = 0
    wave_refused: int = 0
    wave_offline: int = 0
    """Of the wave: waiting and not connected."""
    refusals: list[tuple[bool, ModelReport]] = field(default_factory=list)
    """Of all devices; True for those of the running wave."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Devices that were, or shall be, asked once more -> the number of the attempt, from 2."""
    served: Requests = field(default_factory=Requests)


def tally(
    rollout: Rollout,
    reports: Mapping[str, ModelReport],
    online: Mapping[str, bool] | None,
    wave: tuple[int, int],
    told: int,
) -> Tally:
    """Count.

    Args:
        rollout: the intent.
        reports: what devices last said of the model.
        online: who is connected; a device that is not in it is not. None takes all for connected.
        wave: where the running wave begins and ends in the order of the devices.
        told: so many devices, from the first, have been told.
    """
    spec, found, (first, reach) = rollout.spec, Tally(wave_size=wave[1] - wave[0]), wave
    for position, device in enumerate(spec.devices):
        report = reports.get(device)
        if report is not None and report.artifact == spec.artifact:
            own, reached = first <= position < reach, position < reach
            if _has_ended(found, rollout, device, report, own=own, reached=reached):
                continue
        if position < max(reach, told):
            connected = online is None or online.get(device, False)
            found.in_flight += connected and position < told
            if position < reach:
                found.waiting += 1
                found.offline += not connected
                found.wave_offline += not connected and position >= first
    return found


def holds(spec: RolloutSpec, report: ModelReport | None) -> bool:
    """Say whether a device has the version and is content with it."""
    return report is not None and report.state is InstallState.ACTIVE and report.artifact == spec.artifact


def refuses(spec: RolloutSpec, report: ModelReport | None) -> bool:
    """Say whether a device has said no to the version."""
    return report is not None and report.state in REFUSED and report.artifact == spec.artifact


def _has_ended(
    found: Tally, rollout: Rollout, device: str, report: ModelReport, *, own: bool, reached: bool
) -> bool:
    """Count what a device that speaks of the version says of it; True when it has it or has said no for good."""
    spec = rollout.spec
    if own and report.state in _SERVING and report.serving_version == spec.version:
        served = report.served
        requests, failures = max(served.requests, 0), max(served.failures, 0)
        found.served.requests += requests
        found.served.failures += min(failures, requests)
        found.served.weighted_p99 += max(served.p99_seconds, 0.0) * requests
    name, attempt = read_attempt(report.rollout)
    attempt = attempt if name == rollout.name else 1
    again = report.state in REFUSED and _may_try_again(spec.retry, attempt, report.code)
    if attempt + again > 1:
        found.attempts[device] = attempt + again
    if report.state is InstallState.ACTIVE:
        found.active += reached
        found.wave_active += own
        return True
    if report.state not in REFUSED or again:
        return False
    found.refused += 1
    found.wave_refused += own
    found.refusals.append((own, report))
    return True


def _may_try_again(retry: Retry | None, attempt: int, code: str) -> bool:
    return retry is not None and attempt < retry.attempts and (not retry.codes or code in retry.codes)
