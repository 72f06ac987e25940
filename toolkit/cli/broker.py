"""How commands reach the broker of a site: its address, its login, and a watch that has collected what is retained.

Every command of `rollout` and `fleet` opens its watch here. A login is read from the file or the variable that
tiers.yaml names, and never sent over a connection without encryption.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.fleet.reports import Watch
    from toolkit.link.settings import LinkSettings
    from toolkit.topology.secret import SecretReference
    from toolkit.topology.topology import Topology
    from toolkit.wire.keyring import Keyring

BrokerOption = Annotated[
    str,
    typer.Option("--broker", metavar="URL", help="Another broker than tiers.yaml names.", show_default=False),
]
SealOption = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Private key of role receiver, which seals answers.",
        show_default="answers are not sealed",
    ),
]
KeyOption = Annotated[Path, typer.Option("--key", help="The operator's private key, which seals.")]
KeyringOption = Annotated[
    Path | None, typer.Option("--keyring", help="Whose seals count [default: the --key's own].")
]
AliveOption = Annotated[
    Path | None,
    typer.Option(
        "--alive", metavar="FILE", help="Touch this file while it works, for a probe.", show_default=False
    ),
]
ReadKeyringOption = Annotated[
    Path | None, typer.Option("--keyring", help="Whose seals count; without it they are not checked.")
]


def link_settings(topology: Topology, url: str, client: str) -> LinkSettings:
    """Give what a link to the broker of a site needs.

    Args:
        topology: of the site.
        url: of another broker than the topology's; empty for that one.
        client: name of the connection; a broker allows it once.

    Raises:
        UsageError: the URL is none, or the login is kept where this machine cannot read it.
        UnreachableError: the file of the login cannot be read.
    """
    from toolkit.link.presets import OF_BROKER
    from toolkit.link.settings import TlsSettings, settings_from_url

    broker = topology.broker
    address = url or broker.url
    preset = OF_BROKER[broker.preset]
    if not address.startswith("mqtts:"):
        return settings_from_url(address, client, preset_name=preset)
    tls = TlsSettings(
        ca_file=_file_of(broker.ca, "broker.ca") if broker.ca else "",
        certificate_file=_file_of(broker.certificate, "broker.certificate") if broker.certificate else "",
        key_file=_file_of(broker.key, "broker.key") if broker.key else "",
    )
    login = broker.credentials
    variable = login.env if login else None
    settings = settings_from_url(
        address,
        client,
        tls=tls,
        password_file=_file_of(login, "broker.credentials") if login and not variable else "",
        preset_name=preset,
    )
    return replace(settings, password=_variable(variable)) if variable else settings


@contextmanager
def open_site(topology: Topology, url: str, keyring: Keyring | None) -> Iterator[Watch]:
    """Connect to a site, collect what it says, and disconnect in good order at the end.

    Raises:
        UnreachableError: the broker does not answer within five seconds.
        UsageError: as `link_settings`.
    """
    from toolkit.fleet.reports import open_watch
    from toolkit.link.paho_link import PahoLink
    from toolkit.wire.topics import Topics

    name = f"cli-{secrets.token_hex(6)}"
    settings = link_settings(topology, url, name)
    watch = open_watch(
        PahoLink(settings),
        Topics(topology.name),
        keyring,
        name=name,
        address=f"the broker at {settings.address}",
    )
    try:
        yield watch
    finally:
        watch.close()


def _file_of(reference: SecretReference, what: str) -> str:
    if reference.file:
        return reference.file
    where = (
        f"the Kubernetes Secret {reference.secret}" if reference.secret else f"the variable {reference.env}"
    )
    raise UsageError(
        f"{what} is kept in {where}, which this command cannot use as a file",
        hint=f"name a file of this machine in a second tiers.yaml: {what}: {{file: PATH}}, then -f tiers.yaml -f it",
    )


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise UsageError(f"broker.credentials: the variable {name} is not set", hint=f"export {name}=…")
    return value
