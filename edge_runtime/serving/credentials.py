"""What a server proves itself with and whom it believes: certificate, tokens and an authority, kept in files.

`server` reads them before it listens, and looks every few seconds whether they have changed: kubelet renews a mounted
Secret by turning a symbolic link, and renewing a certificate must cost no connection. `guard` asks for the tokens.
No request reads a file.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from toolkit.errors import TiersError, UsageError
from toolkit.wire.device_config import ServingConfig

LONGEST_FILE: Final = 1024 * 1024
"""Bytes; a certificate with its chain has a few thousand."""
TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]{16,512}={0,2}")
"""RFC 6750 §2.1, and long enough that nobody guesses it. It has no colon, which ends the scopes before it."""
Scopes = frozenset[str]
SCOPES: Final[Scopes] = frozenset({"infer", "metrics", "admin"})
USUAL: Final[Scopes] = frozenset({"infer", "metrics"})
"""Of a token that stands alone on its line, and of a certificate."""
NEW_TOKEN: Final = "make one: openssl rand -hex 32"  # noqa: S105 -- how to make one
NEW_PAIR: Final = (
    "make both: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365"
    " -keyout tls.key -out tls.crt -subj /CN=NAME -addext subjectAltName=DNS:NAME"
)


@dataclass(frozen=True)
class Held:
    """What the files held when they were last read whole and right."""

    context: ssl.SSLContext | None
    """None without a certificate: plain HTTP, which loopback alone deserves."""
    tokens: Mapping[bytes, Scopes]
    """SHA-256 of each token, and what it opens."""
    expires: datetime | None
    """End of the certificate."""

    @cached_property
    def opened(self) -> Scopes:
        """What some token opens."""
        return frozenset[str]().union(*self.tokens.values())


class Credentials:
    """The credentials of one server; they change while it runs."""

    def __init__(self, config: ServingConfig) -> None:
        """Read the files that a configuration names; an empty name means that there is none.

        Raises:
            UsageError: a file is missing, cannot be read or does not hold what it should; the message names it.
        """
        self._config = config
        self._files = tuple(
            each
            for each in (
                config.certificate_file,
                config.key_file,
                config.token_file,
                config.client_ca_file,
            )
            if each
        )
        self._seen = self._look()
        self._held = _read(config)
        self._failed_at: object = None
        self.context = self._held.context
        """To listen with; every handshake gets what the files held last."""
        if self.context is not None:
            self.context.sni_callback = self._newest

    @property
    def expires(self) -> datetime | None:
        """When the certificate ends; None without one."""
        return self._held.expires

    @property
    def by_certificate(self) -> bool:
        """Whether clients may show a certificate."""
        return bool(self._config.client_ca_file)

    @property
    def held(self) -> object:
        """What is the same as long as nothing has changed: whoever remembers an answer of ours looks at it."""
        return self._held

    @property
    def by_token(self) -> Scopes:
        """What some token opens."""
        return self._held.opened

    def opens(self, token: str) -> tuple[str, Scopes] | None:
        """Give a name of the token that says nothing of it, and what it opens; None when it is none of ours.

        How long that takes says nothing about the tokens either.
        """
        digest = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        found = None
        for each, scopes in self._held.tokens.items():
            if hmac.compare_digest(each, digest):
                found = f"token-{digest.hex()[:8]}", scopes
        return found

    def refresh(self) -> bool:
        """Read the files again if they have changed; what was read before stays until all of them are right.

        Returns:
            Whether there is something new.

        Raises:
            UsageError: they have changed, and not to something that can be used; said once for each change.
        """
        seen = self._look()
        if seen == self._seen:
            return False
        try:
            self._held = _read(self._config)
        except TiersError:
            # Tried again at the next look: files that come one by one are right in the end without a change of their
            # own (what is written last may be what was right already).
            # And if they changed since we looked, what we saw was half of one change, which is said when it is whole.
            if seen == self._failed_at or self._look() != seen:
                return False
            self._failed_at = seen
            raise
        self._seen, self._failed_at = seen, None
        return True

    def _look(self) -> tuple[object, ...]:
        """Give what changes when a file does, or when a link to it is turned."""
        return tuple(_stamp(file) for file in self._files)

    def _newest(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> None:
        """Give a handshake that begins the newest certificate and authority. OpenSSL calls it also without a name."""
        del name, context
        if self._held.context is not None:
            connection.context = self._held.context


def _stamp(file: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 -- a path is a text in the configuration
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(config: ServingConfig) -> Held:
    tokens = _tokens(config.token_file) if config.token_file else {}
    if not config.certificate_file:
        return Held(None, tokens, None)
    expires = _check_pair(config.certificate_file, config.key_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would skip the look at the client's certificate, and outlive the authority that signed it.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(config.certificate_file, config.key_file, password=_no_password)
    except (OSError, ValueError) as exc:  # among them ssl.SSLError
        message = f"serving.certificate_file {config.certificate_file} cannot be used: {exc}"
        raise UsageError(message, hint=NEW_PAIR) from exc
    if config.client_ca_file:
        authorities = _text(config.client_ca_file, "client_ca_file")
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ssl.SSLError, ValueError) as exc:
            message = f"serving.client_ca_file {config.client_ca_file} holds no certificate in PEM: {exc}"
            raise UsageError(
                message, hint="give the certificate of the authority that signs clients"
            ) from exc
        # Optional, because kubelet's questions come without a certificate; `guard` refuses all others that do.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # which resumes nothing without tickets
    return Held(context, tokens, expires)


def _check_pair(certificate_file: str, key_file: str) -> datetime:
    """See that both files hold what they should and belong together; give the end of the certificate."""
    try:
        certificate = x509.load_pem_x509_certificates(_text(certificate_file, "certificate_file"))[0]
    except ValueError as exc:
        raise UsageError(
            f"serving.certificate_file {certificate_file} holds no certificate in PEM", hint=NEW_PAIR
        ) from exc
    try:
        key = serialization.load_pem_private_key(_text(key_file, "key_file"), None)
    except TypeError as exc:
        message = f"serving.key_file {key_file} is locked with a password"
        raise UsageError(message, hint=f"unlock it: openssl pkey -in {key_file} -out tls.key") from exc
    except ValueError as exc:
        raise UsageError(f"serving.key_file {key_file} holds no private key in PEM", hint=NEW_PAIR) from exc
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        message = f"serving.key_file {key_file} is not the key of serving.certificate_file {certificate_file}"
        raise UsageError(message, hint="put both files there that were made together")
    return certificate.not_valid_after_utc


def _no_password() -> str:
    """Answer OpenSSL, which would otherwise ask on the terminal."""
    return ""


def _tokens(file: str) -> dict[bytes, Scopes]:
    """Read lines `TOKEN` or `SCOPE,SCOPE:TOKEN`; a token that stands there twice has the scopes of both lines."""
    lines = _text(file, "token_file").splitlines()
    found: dict[bytes, Scopes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        before, colon, token = line.strip().rpartition(b":")
        if not TOKEN.fullmatch(token):
            message = (
                f"serving.token_file {file}:{number}: a token has 16 to 512 letters, digits and . _ ~ + / -"
            )
            raise UsageError(message, hint=NEW_TOKEN)
        scopes = frozenset(before.decode("ascii", "replace").split(",")) if colon else USUAL
        if not scopes <= SCOPES:
            message = f"serving.token_file {file}:{number}: what stands before the token is no list of scopes"
            raise UsageError(
                message, hint=f"write them with commas, such as admin,infer:TOKEN: {_names(SCOPES)}"
            )
        digest = hashlib.sha256(token).digest()
        found[digest] = found.get(digest, frozenset()) | scopes
    if not found:
        raise UsageError(f"serving.token_file {file} holds no token", hint=NEW_TOKEN)
    return found


def _names(scopes: Scopes) -> str:
    return ", ".join(sorted(scopes))


def _text(file: str, key: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(LONGEST_FILE + 1)
    except OSError as exc:
        message = f"serving.{key} {file} cannot be read: {exc.strerror or exc}"
        raise UsageError(
            message, hint="put the file there, readable for the user that runs tiers-edge"
        ) from exc
    if len(data) > LONGEST_FILE:
        raise UsageError(
            f"serving.{key} {file} is longer than {LONGEST_FILE} bytes", hint="give another file"
        )
    return data
