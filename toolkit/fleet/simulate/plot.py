"""Curves as SVG, written by hand: a column of panels, each over its time. No library, no fonts, no scripts.

`week_plot` says which curves of a simulated week are drawn; `benchmarks/rollout_fleet.py` writes the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 860
_LEFT, _RIGHT = 70, 190
_TOP, _PANEL, _GAP = 34, 150, 46
_TICKS = (1, 2, 2.5, 5, 10)
_MOST_LINES = 5
_INK, _GRID = "#333333", "#dddddd"


@dataclass(frozen=True)
class Curve:
    """Values over time."""

    label: str
    colour: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One diagram."""

    title: str
    times: tuple[float, ...]
    """Of each value, growing."""
    curves: tuple[Curve, ...]
    unit: str = "day"
    """Of the times; a tick for each."""
    stacked: bool = False
    """Each curve stands on the one before, filled."""
    top: float = 0.0
    """Upper end of the scale; 0 fits the values."""


def render(panels: Sequence[Panel], title: str) -> str:
    """Draw panels below each other.

    Args:
        panels: from the top.
        title: of the whole.
    """
    height = _TOP + len(panels) * (_PANEL + _GAP) + 10
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 18, title, size=14),
    ]
    for number, panel in enumerate(panels):
        lines.extend(_panel(panel, _TOP + number * (_PANEL + _GAP) + 16))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(panel: Panel, top: float) -> Iterator[str]:
    times = panel.times
    layers = list(_layers(panel))
    highest = panel.top or max((max(upper) for _, upper in layers), default=1.0) or 1.0
    step = _step(highest)
    bottom = top + _PANEL
    plot_width = WIDTH - _LEFT - _RIGHT
    span = max(times[-1] - times[0], 1e-9)

    def point(at: float, value: float) -> str:
        x = _LEFT + plot_width * (at - times[0]) / span
        return f"{x:.1f},{bottom - _PANEL * min(value / highest, 1.0):.1f}"

    yield _text(_LEFT, top - 6, panel.title)
    for tick in range(int(highest / step + 1e-9) + 1):
        y = bottom - _PANEL * tick * step / highest
        yield f'<path d="M{_LEFT},{y:.1f}H{WIDTH - _RIGHT}" stroke="{_GRID}" fill="none"/>'
        yield _text(_LEFT - 6, y + 4, _figure(tick * step), anchor="end")
    for tick in range(int(times[0]), int(times[-1] + 1e-9) + 1):
        x = _LEFT + plot_width * (tick - times[0]) / span
        yield f'<path d="M{x:.1f},{bottom}v4" stroke="{_INK}"/>'
        yield _text(x, bottom + 16, f"{panel.unit} {tick}", anchor="middle")
    for curve, (lower, upper) in zip(panel.curves, layers, strict=True):
        line = " ".join(point(at, value) for at, value in zip(times, upper, strict=True))
        if panel.stacked:
            back = [point(at, value) for at, value in zip(times, lower, strict=True)]
            yield f'<polygon points="{line} {" ".join(reversed(back))}" fill="{curve.colour}"/>'
        else:
            yield f'<polyline points="{line}" stroke="{curve.colour}" stroke-width="1.8" fill="none"/>'
    for number, curve in enumerate(panel.curves):
        y = top + 12 + 18 * number
        yield f'<rect x="{WIDTH - _RIGHT + 14}" y="{y - 10}" width="12" height="12" fill="{curve.colour}"/>'
        yield _text(WIDTH - _RIGHT + 32, y, curve.label)


def _layers(panel: Panel) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Give the lower and the upper edge of each curve."""
    ground: tuple[float, ...] = ()
    for curve in panel.curves:
        lower = ground or (0.0,) * len(curve.values)
        upper = (
            tuple(a + b for a, b in zip(lower, curve.values, strict=True)) if panel.stacked else curve.values
        )
        ground = upper if panel.stacked else ()
        yield lower, upper


def _step(highest: float) -> float:
    """Give a round distance of grid lines."""
    size = 10.0 ** len(str(int(highest))) / 1000
    while True:
        for tick in _TICKS:
            if highest / (tick * size) <= _MOST_LINES:
                return tick * size
        size *= 10


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{_INK}">{escape(text)}</text>'
