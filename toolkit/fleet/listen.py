"""Where a program of the fleet lets others ask it: an address, and the files of TLS. Plain only on loopback.

`exporter` (figures) and `http_road` (chunks) listen by it; `toolkit.cli.listening` reads it from options.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError

log = logging.getLogger(__name__)


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
    revoked: Path | None = None
    """PEM of that authority's list of revoked certificates; None looks at none."""

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
    revoked: Path | None = None,
) -> Listen:
    """Read HOST:PORT; an IPv6 host stands in brackets.

    Args:
        option: its name, for errors.
        address: numbers only, because a name could mean an address that is not loopback tomorrow.
        certificate: PEM of the server's certificate; needed beyond loopback.
        key: PEM of its key.
        client_ca: PEM of the authority of clients.
        revoked: PEM of that authority's list of revoked certificates.

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
    if revoked is not None and client_ca is None:
        raise UsageError(
            f"{option}: a list of revoked certificates needs the authority that wrote it",
            hint="give --client-ca too",
        )
    return Listen(option, host, number, certificate, key, client_ca, revoked)


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
        if listen.revoked is not None:
            context.load_verify_locations(listen.revoked)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except OSError as exc:  # SSLError is one
        files = ", ".join(map(str, _files(listen)))
        raise UsageError(
            f"{listen.option}: {exc.strerror or exc}: one of {files}", hint="name PEM files that may be read"
        ) from exc
    return context


class ServerTls:
    """The TLS of a server that runs for long: its files are read again when one of them has changed."""

    def __init__(self, listen: Listen) -> None:
        """Read the files.

        Raises:
            UsageError: a file cannot be read, or is no PEM of its kind.
        """
        self._listen = listen
        self._seen = self._stand()
        self._context = server_context(listen)

    def context(self) -> ssl.SSLContext | None:
        """Give what the next connection gets; what stood before, while a file is damaged or half written."""
        stand = self._stand()
        if stand != self._seen:
            try:
                self._context, self._seen = server_context(self._listen), stand
            except UsageError as error:
                log.warning("%s; what was read before holds", error.message)
        return self._context

    def _stand(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stand_of(file) for file in _files(self._listen))


def _files(listen: Listen) -> tuple[Path, ...]:
    return tuple(each for each in (listen.certificate, listen.key, listen.client_ca, listen.revoked) if each)


def _stand_of(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
