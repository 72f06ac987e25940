"""Which curves of a simulated week are drawn: where devices stand, the waves, the depot, and a rollout that failed."""

from __future__ import annotations

from toolkit.fleet.simulate.habits import DAY, HOUR
from toolkit.fleet.simulate.plot import Curve, Panel, render
from toolkit.fleet.simulate.week import Stage, Week

_COLOURS: dict[Stage, str] = {
    "new": "#009e73",
    "checking": "#56b4e9",
    "fetching": "#0072b2",
    "told": "#f0e442",
    "refused": "#d55e00",
    "old": "#cccccc",
}
"""Colours that people who see few colours can tell apart (Okabe and Ito, 2008)."""
_LABELS: dict[Stage, str] = {
    "new": "new version",
    "checking": "check and probation",
    "fetching": "fetching",
    "told": "told, and away",
    "refused": "refused, on the old one",
    "old": "old version",
}
_WAVES = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2")


def draw(healthy: Week, broken: Week) -> str:
    """Draw a week in which a version came through, and the first hours of one in which it was stopped, as SVG."""
    samples = healthy.samples
    days = tuple(sample.at / DAY for sample in samples)
    sent = max(samples[-1].depot_bytes, 1.0)
    panels = (
        Panel(
            f"Where {healthy.plan.devices:,} devices stand",
            days,
            _stages(healthy, "new", "checking", "fetching", "told", "refused", "old"),
            stacked=True,
            top=float(healthy.plan.devices),
        ),
        Panel(
            "Part of each wave on the new version, %",
            days,
            tuple(
                Curve(
                    f"wave {number + 1}: {size:,}",
                    _WAVES[number % len(_WAVES)],
                    tuple(100 * sample.waves[number] / size for sample in samples),
                )
                for number, size in enumerate(_sizes(healthy))
            ),
            top=100.0,
        ),
        Panel(
            "On the network, and sent by the depot, %",
            days,
            (
                Curve(
                    "on the network",
                    "#0072b2",
                    tuple(100 * each.online / healthy.plan.devices for each in samples),
                ),
                Curve(
                    f"of {sent / 1e12:.1f} TB sent",
                    "#d55e00",
                    tuple(100 * each.depot_bytes / sent for each in samples),
                ),
            ),
            top=100.0,
        ),
        Panel(
            f"The same, when {100 * broken.plan.refusing:.3g} % refuse it: {broken.touched:,} devices touched",
            tuple(sample.at / HOUR for sample in broken.samples),
            _stages(broken, "new", "checking", "fetching", "told", "refused"),
            unit="hour",
            stacked=True,
        ),
    )
    return render(panels, "A version on its way to a fleet, a simulated week from Monday, 08:00")


def _stages(week: Week, *stages: Stage) -> tuple[Curve, ...]:
    return tuple(
        Curve(_LABELS[each], _COLOURS[each], tuple(float(sample.stages[each]) for sample in week.samples))
        for each in stages
    )


def _sizes(week: Week) -> list[int]:
    """Give how many devices each wave adds."""
    reach = sorted({max(1, round(share * week.plan.devices)) for share in (*week.plan.waves, 1.0)})
    return [after - before for before, after in zip([0, *reach], reach, strict=False)]
