"""Under which name the depots of a site share requests; made before a `Depot`.

A broker gives each message of a shared subscription to one member of the group, and Mosquitto gives a member its share
also where the access rules withhold it: it is lost. A device that joined the group of the depots would so make others
wait. So the group is named after a secret that all depots have and no device has.
"""

from __future__ import annotations

from pathlib import Path

from toolkit.errors import UnreachableError
from toolkit.link.settings import LinkSettings
from toolkit.wire.digest import digest_of

_PLAIN = "depot"
_DIGITS = 32


def share_group(settings: LinkSettings) -> str:
    """Name the group after the key of the depots' certificate, or their password.

    Depots with keys of their own are groups of their own: each answers everything, which costs bytes only. Without a
    secret, as on loopback, the name is plain.

    Raises:
        UnreachableError: the key cannot be read.
    """
    key_file = settings.tls.key_file if settings.tls else ""
    try:
        secret = Path(key_file).read_bytes() if key_file else settings.password.encode()
    except OSError as error:
        message = f"the broker's key file {key_file} cannot be read: {error.strerror}"
        raise UnreachableError(message, hint="mount the secret, or correct broker.key") from error
    return f"{_PLAIN}-{digest_of(b'tiers depots share' + secret)[:_DIGITS]}" if secret else _PLAIN
