"""Options of programs that let others ask them: the page for Prometheus, and the certificate of what listens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.fleet.depot import Depot
    from toolkit.fleet.steer import Steering

MetricsOption = Annotated[
    str,
    typer.Option(
        "--metrics", metavar="HOST:PORT", help="Show figures to Prometheus there.", show_default="nowhere"
    ),
]
TlsCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificate", help="PEM of what listens; needed beyond loopback.", show_default=False
    ),
]
TlsKeyOption = Annotated[
    Path | None, typer.Option("--tls-key", help="PEM of its private key.", show_default=False)
]


def show_metrics(
    address: str,
    certificate: Path | None,
    key: Path | None,
    *,
    depot: Depot | None = None,
    driver: Steering | None = None,
) -> None:
    """Serve the page for Prometheus until the process ends; nothing without an address.

    Raises:
        UsageError: the address cannot be used.
    """
    if not address:
        return
    from toolkit.fleet.exporter import DepotCollector, DriverCollector, serve_metrics
    from toolkit.fleet.listen import parse_listen

    depots = [DepotCollector(depot)] if depot else []
    drivers = [DriverCollector(driver)] if driver else []
    serve_metrics(parse_listen("--metrics", address, certificate, key), [*depots, *drivers])
