"""From `rollout:` in tiers.yaml to the figures of a rollout's document: who comes when, and what makes it fail. Pure.

Between `intent`, which says who may get a version, and `rollout`, which seals the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template

from msgspec.structs import replace

from toolkit.protocol.waves import order_of
from toolkit.topology.rollout import GateQuery, WaveRule
from toolkit.topology.rollout import Rollout as Settings
from toolkit.topology.shares import AboveShare
from toolkit.topology.units import WHOLE, Percent
from toolkit.wire.rollout import Limit, Measured, Pace, Query, Retry, RolloutSpec, Wave
from toolkit.wire.states import InstallState


@dataclass(frozen=True)
class Laid:
    """Devices in the order in which they get the version, and how far each wave reaches."""

    devices: tuple[str, ...]
    waves: tuple[Wave, ...]


def lay_out(name: str, settings: Settings, labels: Mapping[str, Mapping[str, str]]) -> Laid:
    """Put devices into waves: those that a wave means, in the rollout's own stable order; at last everybody.

    Args:
        name: of the rollout, which decides the order.
        settings: of the model.
        labels: device -> what it carries.
    """
    left = order_of(name, tuple(labels))
    order: dict[str, None] = {}
    waves: list[Wave] = []
    approve = False
    for rule in (settings.canary, *settings.waves, WaveRule()):
        before = len(order)
        _take(order, left, rule, labels)
        approve = approve or rule.approve
        if len(order) > before:
            label = ", ".join(f"{key}={value}" for key, value in sorted(rule.labels.items()))
            waves.append(Wave(devices=len(order), approve=approve, label=label))
            approve = False
    return Laid(tuple(order), tuple(waves))


def with_conditions(spec: RolloutSpec, settings: Settings, max_failed: int | None = None) -> RolloutSpec:
    """Give a rollout its conditions: what makes it fail, how fast it goes, how long it waits.

    Args:
        spec: with its devices.
        settings: of the model.
        max_failed: devices that may refuse the version, instead of what the settings say.
    """
    stop = settings.abort_if
    limits = [
        *(_limit(above, stop.executed, codes=(code,)) for code, above in sorted(stop.codes.items())),
        *(
            _limit(above, stop.executed, states=(InstallState(state),))
            for state, above in stop.states.items()
        ),
    ]
    if max_failed is None and stop.refused.percent is not None:
        limits.insert(0, _limit(stop.refused, stop.executed))
    counted = stop.refused.count if stop.refused.count is not None else len(spec.devices)
    measured = Measured(
        error_rate=_part(stop.error_rate.limit) if stop.error_rate else None,
        p99_seconds=stop.p99.limit.seconds if stop.p99 else None,
        requests=stop.requests,
    )
    return replace(
        spec,
        soak_seconds=settings.soak.seconds,
        max_failed=counted if max_failed is None else max_failed,
        limits=tuple(limits),
        measured=measured if stop.error_rate or stop.p99 else None,
        queries=tuple(_query(name, query, spec) for name, query in sorted(stop.queries.items())),
        on_failure=stop.then,
        success=_part(settings.success) if settings.success else 0.0,
        offline_grace_seconds=settings.offline_grace.seconds,
        pace=_pace(settings),
        retry=Retry(attempts=settings.retry.attempts, codes=settings.retry.codes)
        if settings.retry.attempts > 1
        else None,
        deadline_seconds=settings.deadline.seconds if settings.deadline else None,
    )


def _take(
    order: dict[str, None], left: Sequence[str], rule: WaveRule, labels: Mapping[str, Mapping[str, str]]
) -> None:
    """Add devices until the share of those that a wave means have been reached; those of waves before count."""
    meant = [device for device in left if rule.labels.items() <= labels[device].items()]
    missing = rule.share.of(len(meant)) - sum(1 for device in meant if device in order)
    for device in meant:
        if missing <= 0:
            return
        if device not in order:
            order[device] = None
            missing -= 1


def _limit(
    above: AboveShare, executed: int, *, codes: tuple[str, ...] = (), states: tuple[InstallState, ...] = ()
) -> Limit:
    if above.percent is None:
        return Limit(count=above.count or 0, codes=codes, states=states)
    return Limit(share=_part(above.percent), codes=codes, states=states, executed=executed)


def _query(name: str, query: GateQuery, spec: RolloutSpec) -> Query:
    """Put the rollout's own words into a query; whatever else has a `$` in it stays."""
    words = {"model": spec.model, "version": spec.version, "previous": spec.previous_version}
    return Query(name=name, promql=Template(query.promql).safe_substitute(words), above=query.above)


def _pace(settings: Settings) -> Pace | None:
    pace = settings.pace
    if pace is None:
        return None
    return Pace(
        per_minute=pace.per_minute or 0.0,
        most=pace.most or 0.0,
        growth=pace.growth,
        each=pace.each,
        in_flight=pace.in_flight or 0,
    )


def _part(percent: Percent) -> float:
    return percent.parts_per_million / WHOLE
