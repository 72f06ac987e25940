"""What a dashboard says, in words of ours: rows of panels, each with its questions to Prometheus.

The five dashboards are written with these; `grafana` lays them out and writes Grafana's JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["short", "percentunit", "s", "bytes", "Bps", "reqps", "celsius", "watt", "bool_on_off", "none"]
"""A unit of Grafana's list; `percentunit` is a share from 0 to 1, `Bps` bytes a second."""


@dataclass(frozen=True)
class Query:
    """One question in PromQL. `$ours` and `$queues` are filled in for a topology; the rest are Grafana's variables."""

    expr: str
    legend: str = ""
    """Name of each line, with labels in double braces."""


@dataclass(frozen=True)
class Limit:
    """From this value on a panel turns to a colour."""

    value: float
    colour: Literal["yellow", "orange", "red", "green"] = "red"


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    explains: str = ""
    """What it means and what to do when it looks bad; the text behind the i."""
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    limits: tuple[Limit, ...] = ()
    stacked: bool = False
    width: int = 12
    """Columns, of 24."""


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Choice:
    """A drop-down list: the values of a label."""

    name: str
    label: str
    metric: str
    """The metric whose label is listed."""


@dataclass(frozen=True)
class Dashboard:
    """One page of Grafana."""

    name: str
    """Of the file, and in the address."""
    title: str
    explains: str
    choices: tuple[Choice, ...]
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel, from top to bottom."""
        return tuple(panel for row in self.rows for panel in row.panels)
