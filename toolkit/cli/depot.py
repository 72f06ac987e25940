"""`tiers depot`: serve a site's models to its devices; with --steer, drive its rollouts too."""

from __future__ import annotations

import secrets
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.broker import AliveOption, BrokerOption, link_settings
from toolkit.cli.listening import (
    ClientCaOption,
    ClientCrlOption,
    HttpOption,
    MetricsOption,
    TlsCertificateOption,
    TlsKeyOption,
    open_http_road,
    show_metrics,
)
from toolkit.cli.present import say
from toolkit.cli.registry import RegistryOption, open_registry_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from toolkit.fleet.steer import Steering
    from toolkit.protocol.buckets import Rate
    from toolkit.topology.topology import Topology
    from toolkit.wire.keyring import Keyring

KeyringOption = Annotated[Path, typer.Option("--keyring", help="Whose models and rollouts count.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="The operator's private key, for --steer.")]
RateOption = Annotated[
    str,
    typer.Option(
        "--rate", metavar="RATE", help="Most for all devices together, 100MiB/s.", show_default="none"
    ),
]
BroadcastOption = Annotated[
    str,
    typer.Option(
        "--broadcast",
        metavar="RATE",
        help="Send what three devices or more fetch at once to all of them, at 20MiB/s.",
        show_default="never",
    ),
]
DeviceRateOption = Annotated[
    str,
    typer.Option("--device-rate", metavar="RATE", help="Most for one device, 2MiB/s.", show_default="none"),
]


def depot(
    keyring: KeyringOption,
    steer: Annotated[bool, typer.Option("--steer", help="Drive rollouts too; one driver a site.")] = False,
    key: KeyOption = None,
    rate: RateOption = "",
    device_rate: DeviceRateOption = "",
    http: HttpOption = "",
    client_ca: ClientCaOption = None,
    client_crl: ClientCrlOption = None,
    metrics: MetricsOption = "",
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    broadcast: BroadcastOption = "",
    registry: RegistryOption = "",
    broker: BrokerOption = "",
    alive: AliveOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
) -> None:
    """Answer devices with chunks from the registry until interrupted. Several depots share the work of a site."""
    from toolkit.fleet.depot import Depot
    from toolkit.fleet.heartbeat import Heartbeat
    from toolkit.fleet.run import run_site
    from toolkit.fleet.share import share_group
    from toolkit.link.buffers import keep_buffers
    from toolkit.link.paho_link import PahoLink
    from toolkit.protocol.supply import Limits
    from toolkit.registry.keys import read_keyring
    from toolkit.topology.load import load
    from toolkit.wire.topics import Topics

    keep_buffers()
    topology = load(files, variables_of(assignments)).topology
    trusted = read_keyring(keyring)
    driver = _driver(topology, broker, key, trusted) if steer else None
    settings = link_settings(topology, broker, f"depot-{secrets.token_hex(6)}")
    limits = Limits(settings.preset.max_payload_bytes, _rate(device_rate), _rate(rate))
    source = registry or topology.registry.url
    served = Depot(
        PahoLink(settings),
        Topics(topology.name),
        lambda: open_registry_of(topology, registry),
        trusted,
        limits=limits,
        group=share_group(settings),
        broadcast=_stream_rate(broadcast, topology),
    )
    tls = (tls_certificate, tls_key, client_ca, client_crl)
    open_http_road(http, tls, served, lambda: open_registry_of(topology, registry), trusted, limits)
    show_metrics(metrics, tls_certificate, tls_key, depot=served, driver=driver)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    doing = "serves and steers" if driver else "serves"
    run_site(
        served,
        driver,
        stop,
        ready=lambda: say(f"depot {doing} {topology.name}: {source} over {settings.address}"),
        beat=Heartbeat(alive) if alive else None,
    )


def _driver(topology: Topology, broker: str, key: Path | None, trusted: Keyring) -> Steering:
    from toolkit.errors import UsageError
    from toolkit.fleet.steer import Steering
    from toolkit.link.paho_link import PahoLink
    from toolkit.registry.keys import read_key
    from toolkit.wire.topics import Topics

    if key is None:
        raise UsageError(
            "--steer signs what devices shall run and needs the operator's key", hint="--key operator.pem"
        )
    name = f"steer-{secrets.token_hex(6)}"
    link = PahoLink(link_settings(topology, broker, name))
    return Steering(link, Topics(topology.name), read_key(key), trusted, name=name)


def _stream_rate(text: str, topology: Topology) -> Rate | None:
    from toolkit.errors import UsageError

    if text and topology.broker.preset == "aws":
        raise UsageError(
            "AWS IoT Core charges each delivery, so a stream saves nothing there",
            hint="leave --broadcast out",
        )
    return _rate(text) if text else None


def _rate(text: str) -> Rate:
    from toolkit.errors import UsageError
    from toolkit.protocol.buckets import Rate
    from toolkit.topology.units import Rate as Written

    try:
        return Rate(Written.parse(text).bytes_per_second) if text else Rate()
    except ValueError as error:
        raise UsageError(f"{text!r} is not a rate: {error}", hint="--rate 20MiB/s") from error
