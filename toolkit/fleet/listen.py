"""Where a program of the fleet lets others ask it: an address, and the files of TLS. Plain only on loopback.

`exporter` (figures) and `http_road` (chunks) listen by it; `toolkit.cli.listening` reads it from options.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError


@dataclass(frozen=True)
class Listen:
    """An address that has been checked: loopback, or with a certificate."""

    option: str
    """How the address was given, for errors: `--metrics`."""
    host: str
    port: int
    """0 takes any free one."""
    certificate: Path | None = None
    """PEM of the server's certificate and what lies between it and its authority."""
    key: Path | None = None
    client_ca: Path | None = None
    """PEM of the authority whose certificates clients must show; None asks for none."""

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self.certificate is not None


def parse_listen(
    option: str,
    address: str,
    certificate: Path | None = None,
    key: Path | None = None,
    client_ca: Path | None = None,
) -> Listen:
    """Read HOST:PORT; an IPv6 host stands in brackets.

    Args:
        option: its name, for errors.
        address: numbers only, because a name could mean an address that is not loopback tomorrow.
        certificate: PEM of the server's certificate; needed beyond loopback.
        key: PEM of its key.
        client_ca: PEM of the authority of clients.

    Raises:
        UsageError: it is no address, or is reached from elsewhere and has no certificate.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
        if not 0 <= number < 1 << 16:
            raise ValueError(f"{number} is no TCP port")  # noqa: TRY301 -- as the other two
    except ValueError as exc:
        raise UsageError(
            f"{option} {address}: {exc}", hint=f"write HOST:PORT: {option} 127.0.0.1:9108"
        ) from exc
    if (certificate is None) != (key is None):
        raise UsageError(
            f"{option}: a certificate needs its key, and a key its certificate",
            hint="give both --tls-certificate and --tls-key",
        )
    if client_ca is not None and certificate is None:
        raise UsageError(
            f"{option}: clients show certificates over TLS only",
            hint="give --tls-certificate and --tls-key too",
        )
    if not loopback and certificate is None:
        raise UsageError(
            f"{option} {address} is reached from elsewhere, and so needs TLS",
            hint=f"give --tls-certificate and --tls-key, or {option} 127.0.0.1:{number}",
        )
    return Listen(option, host, number, certificate, key, client_ca)


def server_context(listen: Listen) -> ssl.SSLContext | None:
    """Give the TLS of a server, 1.2 or newer; None when it speaks none.

    Raises:
        UsageError: a file cannot be read, or is no PEM of its kind.
    """
    if listen.certificate is None or listen.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would outlive the authority that signed its client.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(listen.certificate, listen.key)
        if listen.client_ca is not None:
            context.load_verify_locations(listen.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as exc:  # SSLError is one
        files = ", ".join(str(each) for each in (listen.certificate, listen.key, listen.client_ca) if each)
        raise UsageError(
            f"{listen.option}: {exc.strerror or exc}: one of {files}", hint="name PEM files that may be read"
        ) from exc
    return context
