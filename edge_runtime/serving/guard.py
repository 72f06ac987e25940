"""Who may listen where, and which request is answered: the only place that decides both.

`server` asks `check_exposure` before it listens; `connection` asks a `Guard` for every request, after its headers and
before its body, so that a stranger cannot make the server hold megabytes. On loopback without tokens there is no guard.
"""

from __future__ import annotations

import contextlib
import ipaddress
from http import HTTPStatus
from typing import Final

from edge_runtime.serving.credentials import NEW_PAIR, NEW_TOKEN, Credentials
from edge_runtime.serving.http import Response, error_response
from toolkit.errors import UsageError
from toolkit.wire.device_config import ServingConfig

OPEN: Final = frozenset({b"/v2/health/live", b"/v2/health/ready"})
"""Answered to everybody: kubelet asks them and can show neither a token nor a certificate of its own.

Both say yes or no and nothing else."""
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


class Guard:
    """Lets those ask who show a token, or a certificate of the authority where one is set; either is enough."""

    def __init__(self, credentials: Credentials) -> None:
        """Ask these credentials, which may change meanwhile."""
        self._credentials = credentials

    def refusal(self, path: bytes, authorization: str, *, known: bool) -> Response | None:
        """Give the answer to somebody who may not ask, None to one who may.

        Args:
            path: path of the target, as it was sent.
            authorization: value of the header; empty when there is none.
            known: whether the client proved itself with a certificate.
        """
        if known or path in OPEN:
            return None
        if authorization[: len(SCHEME)].lower() == SCHEME:
            if self._credentials.knows(authorization[len(SCHEME) :].strip()):
                return None
            challenge = f'{CHALLENGE}, error="invalid_token"'
            return error_response(
                HTTPStatus.UNAUTHORIZED, "this token is not known here", WWW_Authenticate=challenge
            )
        wanted = "send Authorization: Bearer TOKEN" if self._credentials.by_token else "show a certificate"
        return error_response(HTTPStatus.UNAUTHORIZED, f"who asks? {wanted}", WWW_Authenticate=CHALLENGE)
