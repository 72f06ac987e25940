"""A rollout: which version shall go to which devices, in which waves, and what stops it.

`tiers rollout start` writes it, sealed and retained, and returns; whoever steers (`tiers rollout run`,
`tiers depot --steer`) reads it and the devices' reports and lets `protocol.waves` decide what comes next. How far that
has come, the driver writes down in a `course`.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, Sparse, decode_json
from toolkit.wire.states import InstallState
from toolkit.wire.topics import check_label

MAX_QUERIES = 16
MAX_PROMQL = 4000
"""Characters of a query."""
ATTEMPT_MARK = "~"
"""Stands between a rollout's name and the number of an attempt; no name has it."""


class Wave(Sparse, frozen=True, kw_only=True):
    """How far a wave reaches: devices that shall have the version after it, all waves before included."""

    devices: int
    approve: bool = False
    """An operator has to say that it may begin."""
    label: str = ""
    """Whom it is for, for people, such as `site=north`; the order of the devices already says so."""


class Limit(Sparse, frozen=True, kw_only=True):
    """How many devices may say no before the rollout fails. One of `count` and `share` is set."""

    count: int | None = None
    """Devices of the whole rollout."""
    share: float | None = None
    """Part, from 0 to 1, of those that have come to an end: in the running wave, or in all waves so far."""
    states: tuple[InstallState, ...] = ()
    """Only devices that ended in one of these count; empty counts REJECTED, FAILED and ROLLED_BACK."""
    codes: tuple[str, ...] = ()
    """Only devices that gave one of these codes count; empty counts all."""
    executed: int = 0
    """A share is not judged before so many devices have come to an end; all of the wave's, when it has fewer."""


class Measured(Sparse, frozen=True, kw_only=True):
    """How the version has to do on the devices of the running wave, by what they report of their requests."""

    error_rate: float | None = None
    """The rollout fails above this part, from 0 to 1, of requests that failed."""
    p99_seconds: float | None = None
    """The rollout fails when 99 of 100 requests take longer than this."""
    requests: int = 100
    """Nothing is judged on fewer requests than this."""


class Query(Sparse, frozen=True, kw_only=True):
    """A figure that whoever steers asks Prometheus for."""

    name: str
    promql: str
    """Gives one figure; the model and version stand in it already."""
    above: float
    """The rollout fails when the figure is above this."""


class Pace(Sparse, frozen=True, kw_only=True):
    """How fast devices are told, within a wave."""

    per_minute: float = 0.0
    """Devices a minute at the beginning; 0 does not limit it."""
    most: float = 0.0
    """Devices a minute at the most, however it grows; 0 does not limit it."""
    growth: float = 1.0
    """Factor by which the pace grows with each `each` devices that have the version."""
    each: int = 10
    in_flight: int = 0
    """Devices that may be at work at once; offline ones do not count. 0 does not limit it."""


class Retry(Sparse, frozen=True, kw_only=True):
    """Who is asked again after it said no."""

    attempts: int = 1
    """How often a device is asked at the most, the first time included."""
    codes: tuple[str, ...] = ()
    """Only devices that gave one of these codes; empty asks all again."""


class RolloutSpec(Sparse, frozen=True, kw_only=True):
    """What the operator wants; figures come from `rollout:` in tiers.yaml."""

    model: str
    version: str
    artifact: Digest
    devices: tuple[str, ...]
    """Candidates in the order in which they are taken: a stable hash of (rollout, device)."""
    waves: tuple[Wave, ...]
    previous_version: str = ""
    """The version that a rollback brings back; empty when there was none."""
    previous_artifact: str = ""
    """Its artifact id."""
    soak_seconds: float = 0.0
    """How long a finished wave must stay good before the next one begins."""
    max_failed: int = 0
    """The rollout fails when more devices than this refuse the version or roll it back."""
    followers: tuple[str, ...] = ()
    """Names that get the version when all devices have it, such as the servers of a service; nobody waits for them."""
    limits: tuple[Limit, ...] = ()
    """Further reasons to fail, beside `max_failed`."""
    measured: Measured | None = None
    queries: tuple[Query, ...] = ()
    """Figures of Prometheus; no wave ends while one of them is not known."""
    on_failure: Literal["stop", "take-back"] = "stop"
    """Who has the version when it fails keeps it, or gets the one before."""
    success: float = 0.0
    """Part, from 0 to 1, of a wave that must have the version before the next one begins; 0 waits for everybody
    who has not said no."""
    offline_grace_seconds: float | None = None
    """How long a wave waits for devices that are offline; None waits as long as it takes."""
    pace: Pace | None = None
    retry: Retry | None = None
    deadline_seconds: float | None = None
    """After so long under a driver the rollout ends as it stands. Time of a pause does not count."""
    now: bool = False
    """Devices do not wait for their install windows; one that is held waits all the same."""


class Rollout(Document, frozen=True, kw_only=True, omit_defaults=True):
    """The intent (`spec`, `action`), written by the operator."""

    FORMAT: ClassVar[int] = 3
    READS: ClassVar[tuple[int, ...]] = (1, 2, 3)
    name: str
    number: int
    """Grows with each rollout of a site; of the rollouts of one model a driver steers only the highest."""
    seq: int
    """Grows with each change of the intent."""
    spec: RolloutSpec
    action: Literal["run", "pause", "abort", "rollback"] = "run"
    approved: int = 0
    """So many waves may begin, of those that need an operator's word."""

    def needed_format(self) -> int:
        """Give the lowest number that can say it all."""
        spec = self.spec
        if spec.queries:
            return 3
        new = (
            self.approved, spec.limits, spec.measured, spec.on_failure != "stop", spec.success,
            spec.offline_grace_seconds is not None, spec.pace, spec.retry, spec.deadline_seconds is not None, spec.now,
            *(wave.approve or wave.label for wave in spec.waves),
        )  # fmt: skip
        return 2 if any(new) else 1


def attempt_label(rollout: str, attempt: int) -> str:
    """Give what a device is told as the name of the rollout: a new text for each attempt, so that it tries again."""
    return rollout if attempt <= 1 else f"{rollout}{ATTEMPT_MARK}{attempt}"


def read_attempt(label: str) -> tuple[str, int]:
    """Split what `attempt_label` made, as a device says it back, into the rollout's name and the attempt from 1."""
    name, _, number = label.partition(ATTEMPT_MARK)
    return name, int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 1  # noqa: PLR2004


def decode_rollout(data: bytes) -> Rollout:
    """Read a rollout whose seal has been opened.

    Raises:
        IntegrityError: it is damaged, or a figure of it means nothing.
    """
    rollout = decode_json(data, Rollout, what="rollout")
    check_label(rollout.name, what="rollout")
    parse_digest(rollout.spec.artifact, what=f"rollout {rollout.name}: artifact")
    if rollout.spec.previous_artifact:
        parse_digest(rollout.spec.previous_artifact, what=f"rollout {rollout.name}: previous artifact")
    for device in (*rollout.spec.devices, *rollout.spec.followers):
        check_label(device, what=f"rollout {rollout.name}: device")
    for query in rollout.spec.queries:
        check_label(query.name, what=f"rollout {rollout.name}: query")
    _check_figures(rollout)
    return rollout


def _check_figures(rollout: Rollout) -> None:
    """Refuse what would make a driver divide by zero, wait for ever, or never judge. Raises IntegrityError."""
    spec = rollout.spec
    shares = [spec.success, *(limit.share for limit in spec.limits)]
    counts: list[float | None] = [
        rollout.approved, spec.soak_seconds, spec.max_failed, spec.offline_grace_seconds, spec.deadline_seconds,
        *(wave.devices for wave in spec.waves), *(limit.count for limit in spec.limits),
        *(limit.executed for limit in spec.limits),
    ]  # fmt: skip
    if spec.measured is not None:
        shares.append(spec.measured.error_rate)
        counts += [spec.measured.p99_seconds, spec.measured.requests]
    if spec.pace is not None:
        counts += [
            spec.pace.per_minute, spec.pace.most, spec.pace.in_flight, spec.pace.each - 1, spec.pace.growth - 1
        ]  # fmt: skip
    if spec.retry is not None:
        counts.append(spec.retry.attempts - 1)
    bad = [each for each in shares if each is not None and not 0 <= each <= 1]
    bad += [each for each in counts if each is not None and not (each >= 0 and math.isfinite(each))]
    bad += [
        0
        for query in spec.queries
        if not (math.isfinite(query.above) and 0 < len(query.promql) <= MAX_PROMQL)
    ]
    bad += [0] * (
        len(spec.queries) > MAX_QUERIES or len({query.name for query in spec.queries}) < len(spec.queries)
    )
    bad += [0 for limit in spec.limits if (limit.count is None) == (limit.share is None)]
    reach = [wave.devices for wave in spec.waves]
    if bad or reach != sorted(reach):
        raise IntegrityError(
            f"rollout {rollout.name} has a figure that means nothing", hint="start it again with this version"
        )
