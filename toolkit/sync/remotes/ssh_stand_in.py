"""A program that stands in for `ssh` where that is not installed: the same pipes and words, by asyncssh (extra ssh).

`ssh` starts it (`python -m toolkit.sync.remotes.ssh_stand_in LOGIN`) and talks SFTP through it, as through OpenSSH's
own program; it costs two to three times as much CPU. What goes wrong it says in ssh's words, for `ssh_words`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TypedDict

_CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"]
_FAILED = 255


class Wanted(TypedDict):
    """What LOGIN holds, as JSON."""

    host: str
    port: int
    user: str
    key_file: str
    known_hosts_file: str
    patience: float


async def carry(wanted: Wanted) -> None:
    """Carry bytes between our pipes and the subsystem sftp of a server, until either side ends."""
    import asyncssh

    own = bool(wanted["key_file"] or wanted["known_hosts_file"])
    options: Mapping[str, object] = {
        "encryption_algs": _CIPHERS,
        "compression_algs": None,
        "connect_timeout": wanted["patience"],
        "login_timeout": wanted["patience"],
        "keepalive_interval": max(1.0, wanted["patience"] / 6),
        "keepalive_count_max": 3,
        "password_auth": False,
        "kbdint_auth": False,
        **({"config": None} if own else {}),
        **({"username": wanted["user"]} if wanted["user"] else {}),
        **({"client_keys": [wanted["key_file"]], "agent_path": None} if wanted["key_file"] else {}),
        **({"known_hosts": wanted["known_hosts_file"]} if wanted["known_hosts_file"] else {}),
    }
    async with asyncssh.connect(wanted["host"], wanted["port"], **options) as connection:
        process = await connection.create_process(
            subsystem="sftp",
            encoding=None,
            stdin=sys.stdin.buffer,
            stdout=sys.stdout.buffer,
            stderr=asyncssh.DEVNULL,
        )
        await process.wait_closed()


def main(argv: Sequence[str]) -> int:
    """Do what LOGIN says; give ssh's exit code, and its words on standard error."""
    import asyncssh

    wanted: Wanted = json.loads(argv[0])
    words: Mapping[type[Exception], str] = {
        asyncssh.HostKeyNotVerifiable: "Host key verification failed.",
        asyncssh.PermissionDenied: "Permission denied (publickey).",
        asyncssh.KeyImportError: f"Load key {wanted['key_file']}: invalid format",
        asyncssh.KeyEncryptionError: f"Load key {wanted['key_file']}: it has a passphrase",
        asyncssh.ChannelOpenError: "subsystem request failed on channel 0",
        asyncssh.KeyExchangeFailed: "Unable to negotiate",
        asyncio.TimeoutError: "Connection timed out",
        socket.gaierror: f"Could not resolve hostname {wanted['host']}: Name or service not known",
        asyncssh.Error: "Connection closed",
        OSError: "Connection refused or broken",
    }
    try:
        asyncio.run(carry(wanted))
    except tuple(words) as error:
        said = next(text for kind, text in words.items() if isinstance(error, kind))
        sys.stderr.write(f"{said} ({type(error).__name__}: {error})\n")
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
