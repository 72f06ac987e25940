"""Options of commands that steer rollouts: the Prometheus that `abort_if.queries` in tiers.yaml ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.fleet.prometheus import Figures

PrometheusOption = Annotated[
    str,
    typer.Option("--prometheus", metavar="URL", help="Answers abort_if.queries.", show_default="none"),
]
PrometheusTokenOption = Annotated[
    Path | None,
    typer.Option("--prometheus-token", metavar="FILE", help="A bearer token for it.", show_default="none"),
]
PrometheusCaOption = Annotated[
    Path | None,
    typer.Option(
        "--prometheus-ca", metavar="FILE", help="PEM of its authority.", show_default="the system's"
    ),
]


def figures_of(url: str, token: Path | None, ca: Path | None) -> Figures | None:
    """Begin to ask a Prometheus; None where none was named.

    Raises:
        UsageError: it is no address, or a token would go over plain HTTP.
    """
    if not url:
        return None
    from toolkit.fleet.prometheus import Figures, Prometheus

    figures = Figures(Prometheus(url, token, ca).ask)
    figures.start()
    return figures
