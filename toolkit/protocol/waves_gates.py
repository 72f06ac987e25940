"""What makes a rollout fail, with its figures: who said no, and how the version does where it serves. Pure.

`waves.step` asks after counting; `fleet.status` shows the same figures, so that a person sees what the driver saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from toolkit.protocol.waves_tally import Tally
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Limit, RolloutSpec


@dataclass(frozen=True)
class Gate:
    """One condition and how it stands."""

    name: str
    """`refused`, a code (`golden-mismatch`), a state (`ROLLED_BACK`), `error-rate`, `p99` or `query-NAME`."""
    unit: Literal["devices", "share", "seconds", "figure"]
    value: float
    limit: float
    """The highest value that is still good."""
    of: int
    """What it is measured on: devices that have come to an end, or requests."""
    needs: int = 0
    """It is not judged on fewer."""
    what: Literal["devices", "requests"] = "devices"

    @property
    def judged(self) -> bool:
        """Whether there is enough to judge."""
        return self.of >= self.needs

    @property
    def broken(self) -> bool:
        """Whether the rollout fails by it."""
        return self.judged and self.value > self.limit

    def __str__(self) -> str:
        """Say it with its figures: `error rate 0.4 % of 1,204 requests, limit 1 %`."""
        if self.unit == "figure":
            stands = f"{self.value:.6g}" if self.judged else "no figure of Prometheus yet"
            return f"{self.name}: {stands}, limit {self.limit:.6g}"
        name = self.name.replace("-rate", " rate")
        text = (
            f"{name} {_figure(self.unit, self.value)} of {self.of:,} {self.what}, limit"
            f" {_figure(self.unit, self.limit)}"
        )
        return text if self.judged else f"{text}: judged from {self.needs:,} on"


def gates(spec: RolloutSpec, tally: Tally, figures: Mapping[str, float]) -> tuple[Gate, ...]:
    """Give every condition of a rollout, as it stands in the running wave; `figures` are those of its queries."""
    return (*_gates(spec, tally), *_queried(spec, figures))


def _queried(spec: RolloutSpec, figures: Mapping[str, float]) -> Iterator[Gate]:
    for query in spec.queries:
        known = query.name in figures
        value = figures.get(query.name, 0.0)
        yield Gate(f"query-{query.name}", "figure", value, query.above, int(known), 1)


def _gates(spec: RolloutSpec, tally: Tally) -> Iterator[Gate]:
    ended = tally.active + tally.refused
    if spec.max_failed < len(spec.devices):
        yield Gate("refused", "devices", tally.refused, spec.max_failed, ended)
    for limit in spec.limits:
        yield _limit(limit, tally, ended)
    measured, served = spec.measured, tally.served
    if measured is None:
        return
    if measured.error_rate is not None:
        value = served.failures / served.requests if served.requests else 0.0
        yield Gate(
            "error-rate", "share", value, measured.error_rate, served.requests, measured.requests, "requests"
        )
    if measured.p99_seconds is not None:
        yield Gate(
            "p99", "seconds", served.p99_seconds, measured.p99_seconds, served.requests, measured.requests,
            "requests",
        )  # fmt: skip


def _limit(limit: Limit, tally: Tally, ended: int) -> Gate:
    """Judge the wave and all waves so far, and give the one that stands worse."""
    name = "+".join((*(state.value for state in limit.states), *limit.codes)) or "refused"
    in_all = sum(1 for _, report in tally.refusals if _meant(limit, report))
    if limit.share is None:
        return Gate(name, "devices", in_all, limit.count or 0, ended)
    in_wave = sum(1 for own, report in tally.refusals if own and _meant(limit, report))
    wave_ended = tally.wave_active + tally.wave_refused
    whole = Gate(name, "share", in_all / ended if ended else 0.0, limit.share, ended, limit.executed)
    # A wave that is smaller than what a judgement needs is judged when all of it has come to an end.
    needs = min(limit.executed, max(tally.wave_size - tally.wave_offline, 1))
    wave = Gate(name, "share", in_wave / wave_ended if wave_ended else 0.0, limit.share, wave_ended, needs)
    return max((wave, whole), key=lambda gate: (gate.broken, gate.judged, gate.value))


def _meant(limit: Limit, report: ModelReport) -> bool:
    return (not limit.states or report.state in limit.states) and (
        not limit.codes or report.code in limit.codes
    )


def _figure(unit: Literal["devices", "share", "seconds", "figure"], value: float) -> str:
    if unit == "devices":
        return f"{value:,.0f}"
    return f"{100 * value:.3g} %" if unit == "share" else f"{1000 * value:,.0f} ms"
