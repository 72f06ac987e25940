"""`tiers rollout run`: the driver of a site's rollouts, as a process of its own. Interrupt it whenever you like."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.broker import AliveOption, BrokerOption, KeyOption, link_settings
from toolkit.cli.listening import MetricsOption, TlsCertificateOption, TlsKeyOption, show_metrics
from toolkit.cli.present import say
from toolkit.cli.prometheus import PrometheusCaOption, PrometheusOption, PrometheusTokenOption, figures_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def run(
    key: KeyOption,
    keyring: Annotated[Path, typer.Option("--keyring", help="Whose rollouts count.")],
    broker: BrokerOption = "",
    alive: AliveOption = None,
    metrics: MetricsOption = "",
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    prometheus: PrometheusOption = "",
    prometheus_token: PrometheusTokenOption = None,
    prometheus_ca: PrometheusCaOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
) -> None:
    """Steer the rollouts of a site until interrupted. One driver acts; another one stands by and steps in."""
    import signal
    import threading

    from toolkit.fleet.heartbeat import Heartbeat
    from toolkit.fleet.steer import Steering
    from toolkit.link.paho_link import PahoLink
    from toolkit.registry.keys import read_key, read_keyring
    from toolkit.topology.load import load
    from toolkit.wire.topics import Topics

    topology = load(files, variables_of(assignments)).topology
    private, trusted = read_key(key), read_keyring(keyring)
    name = f"steer-{secrets.token_hex(6)}"
    settings = link_settings(topology, broker, name)
    figures = figures_of(prometheus, prometheus_token, prometheus_ca)
    link = PahoLink(settings)
    driver = Steering(link, Topics(topology.name), private, trusted, name=name, figures=figures)
    show_metrics(metrics, tls_certificate, tls_key, driver=driver)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    say(f"steers {topology.name} over {settings.address}")
    beat = Heartbeat(alive) if alive else None
    driver.run(stop, address=f"the broker at {settings.address}", beat=beat)
