"""Who may listen where, and which request is answered: the only place that decides both.

`server` asks `check_exposure` before it listens; `connection` asks a `Guard` for every request, after its headers and
before its body, so that a stranger cannot make the server hold megabytes.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final

from edge_runtime.serving.credentials import NEW_PAIR, NEW_TOKEN, USUAL, Credentials, Scopes
from edge_runtime.serving.http import Response, error_response, split_path
from edge_runtime.serving.unix_socket import check_path
from toolkit.errors import UsageError
from toolkit.wire.device_config import ServingConfig

OPEN: Final = frozenset({b"/v2/health/live", b"/v2/health/ready"})
"""Answered to everybody: kubelet asks them and can show neither a token nor a certificate of its own.

Both say yes or no and nothing else."""
NOTHING: Final[Scopes] = frozenset()
INFERENCE: Final = b"/v2/models/"
MOST_KNOWN: Final = 256
"""Callers that are remembered; when one more comes, all are forgotten."""
SCHEME: Final = "bearer "
CHALLENGE: Final = 'Bearer realm="tiers-edge"'
"""RFC 6750 §3."""
LOOPBACK_CURE: Final = "or set serving.host to 127.0.0.1, and reach it through an SSH tunnel"


def check_exposure(config: ServingConfig) -> None:
    """Refuse to listen where strangers could ask without being known.

    Raises:
        UsageError: the host is not loopback, and TLS or a way to know clients is missing; or half of a pair is.
    """
    if bool(config.certificate_file) != bool(config.key_file):
        missing = "key_file" if config.certificate_file else "certificate_file"
        raise UsageError(
            f"serving.{missing} is missing: a certificate and its key go together", hint=NEW_PAIR
        )
    if config.client_ca_file and not config.certificate_file:
        message = (
            "serving.client_ca_file needs TLS: serving.certificate_file and serving.key_file are missing"
        )
        raise UsageError(message, hint=NEW_PAIR)
    if config.unix_socket:
        check_path(config.unix_socket)
    if config.shared_memory and not config.unix_socket and not is_loopback(config.host):
        message = f"serving.shared_memory is for clients of this machine, and {config.host!r} is for others"
        raise UsageError(
            message, hint="set serving.unix_socket beside it, or leave serving.shared_memory out"
        )
    if not config.host:
        if not config.unix_socket:
            message = "serving.host is empty, and there is no serving.unix_socket: nobody could ask"
            raise UsageError(message, hint="set one of them, such as serving.host to 127.0.0.1")
        return
    if is_loopback(config.host):
        return
    if not config.certificate_file:
        message = (
            f"serving on {config.host!r} needs TLS: serving.certificate_file and serving.key_file are missing"
        )
        raise UsageError(message, hint=f"{NEW_PAIR}; {LOOPBACK_CURE}")
    if not config.token_file and not config.client_ca_file:
        message = (
            f"serving on {config.host!r} needs serving.token_file or serving.client_ca_file, to know who asks"
        )
        raise UsageError(message, hint=f"{NEW_TOKEN}; {LOOPBACK_CURE}")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens there."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the guard knows."""

    name: str
    """Of a token, a certificate or an address: what limits a client go by. It holds no secret."""
    scopes: Scopes


class Door(Enum):
    """How a client came in, which says what it may do without showing anything. Never what takes the scope admin."""

    NETWORK = "network"
    """Nothing."""
    LOOPBACK = "loopback"
    """What no token is for: a file with infer tokens closes inference, one with an admin token alone does not."""
    SOCKET = "socket"
    """Infer and metrics: whoever may open the file was let in by its rights."""


class Guard:
    """Lets those ask who show a token, or a certificate of the authority where one is set; either is enough."""

    def __init__(self, credentials: Credentials, door: Door) -> None:
        """Ask these credentials, which may change meanwhile, about everybody who comes in by this door."""
        self._credentials = credentials
        self.door = door
        self._known: dict[tuple[bytes, str, str], Caller] = {}  # who may ask what without a token
        self._held: object = None  # for which credentials that was found

    def admit(
        self, path: bytes, authorization: str, *, peer: str, certificate: str = ""
    ) -> Caller | Response:
        """Tell who asks, or give the answer to somebody who may not ask this.

        Args:
            path: path of the target, as it was sent.
            authorization: value of the header; empty when there is none.
            peer: address of the client.
            certificate: name in the certificate that the client proved itself with; empty without one.
        """
        asked = (path, peer, certificate)
        if not authorization and self._held is self._credentials.held:
            caller = self._known.get(asked)
            if caller is not None:
                return caller
        name, scopes = certificate or peer, self._without_token(certificate)
        token = ""
        if authorization[: len(SCHEME)].lower() == SCHEME:
            token = authorization[len(SCHEME) :].strip()
            if (opened := self._credentials.opens(token)) is not None:
                name, scopes = opened[0], scopes | opened[1]
                token = ""
        needed = scope_of(path)
        if needed in scopes or path in OPEN:
            caller = Caller(name, scopes)
            if not authorization:
                self._remember(asked, caller)
            return caller
        if token:
            return _stranger("this token is not known here", f'{CHALLENGE}, error="invalid_token"')
        return self._refusal(needed, known=name != peer)

    def _remember(self, asked: tuple[bytes, str, str], caller: Caller) -> None:
        held = self._credentials.held
        if self._held is not held or len(self._known) >= MOST_KNOWN:
            self._held = held
            self._known.clear()
        self._known[asked] = caller

    def _without_token(self, certificate: str) -> Scopes:
        if certificate:
            return USUAL
        if self.door is Door.LOOPBACK and not self._credentials.by_certificate:
            return USUAL - self._credentials.by_token
        return USUAL if self.door is Door.SOCKET else NOTHING

    def _refusal(self, needed: str, *, known: bool) -> Response:
        possible = self._credentials.by_token
        if needed == "admin" and "admin" not in possible:
            message = "this is off here: no line of serving.token_file is admin:TOKEN"
            return error_response(HTTPStatus.FORBIDDEN, message)
        if not known:
            wanted = "send Authorization: Bearer TOKEN" if possible else "show a certificate"
            return _stranger(f"who asks? {wanted}", CHALLENGE)
        challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{needed}"'
        message = f"this takes the scope {needed}, which yours has not"
        return error_response(HTTPStatus.FORBIDDEN, message, WWW_Authenticate=challenge)


def _stranger(message: str, challenge: str) -> Response:
    return error_response(HTTPStatus.UNAUTHORIZED, message, WWW_Authenticate=challenge)


def scope_of(path: bytes) -> str:
    """Give the scope that a target takes: what it is after decoding, as `routes` reads it."""
    if path.startswith(INFERENCE):  # what comes most is told first, and is never a path of the other two
        return "infer"
    parts = split_path(path.decode("latin-1"))
    match parts:
        case ["v2", "repository", "models", _, "load" | "unload"]:
            return "admin"
        case ["metrics"]:
            return "metrics"
        case _:
            return "infer"
