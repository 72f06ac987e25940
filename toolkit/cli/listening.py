"""Options of programs that let others ask them: the page for Prometheus, and the certificate of what listens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolkit.fleet.depot import Depot
    from toolkit.fleet.steer import Steering
    from toolkit.protocol.supply import Limits
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.wire.keyring import Keyring

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

HttpOption = Annotated[
    str,
    typer.Option(
        "--http", metavar="HOST:PORT", help="Give chunks over HTTP there as well.", show_default="nowhere"
    ),
]
ClientCaOption = Annotated[
    Path | None,
    typer.Option("--client-ca", help="PEM of the devices' authority, for --http.", show_default=False),
]

ClientCrlOption = Annotated[
    Path | None,
    typer.Option("--client-crl", help="PEM of its list of revoked certificates.", show_default=False),
]


def open_http_road(
    address: str,
    tls: tuple[Path | None, Path | None, Path | None, Path | None],
    depot: Depot,
    open_store: Callable[[], PackStore],
    keyring: Keyring,
    limits: Limits,
) -> None:
    """Answer over HTTP until the process ends; nothing without an address.

    Args:
        address: HOST:PORT.
        tls: certificate, key, authority of the devices, and its list of revoked certificates.
        depot: beside which it stands; shows the bytes of this road among its own.
        open_store: opens the registry.
        keyring: whose artifacts are shown.
        limits: of the depot; the same rates hold here, counted apart.

    Raises:
        UsageError: the address or a file cannot be used.
    """
    if not address:
        return
    from toolkit.fleet.http_limits import HttpLimits
    from toolkit.fleet.http_road import HttpRoad
    from toolkit.fleet.listen import parse_listen

    bounds = HttpLimits(per_device=limits.per_device, overall=limits.overall)
    road = HttpRoad(parse_listen("--http", address, *tls), open_store, keyring, bounds)
    depot.other_roads["http"] = lambda: road.counters.bytes_sent
    road.start()


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
