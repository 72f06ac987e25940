"""The command line of ssh for a login: which program, which options, which key. Between `choose` and `ssh`.

What ssh would decide by itself and matters here is said: ciphers, host keys, no questions, no forwarding.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec

from toolkit.errors import UsageError

CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr"
"""The first one is twice as fast as OpenSSH's own first choice wherever a processor knows AES."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253})|[0-9A-Fa-f:.]{2,45}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True)
class Login:
    """Where an SSH server is, and how to get in."""

    host: str
    port: int = 22
    user: str = ""
    """Empty: the user who runs this."""
    key_file: str = ""
    """Private key; empty: those that ssh finds by itself, and the agent's."""
    known_hosts_file: str = ""
    """Host keys that are believed; empty: those of the user and of the machine."""
    key: bytes = field(default=b"", repr=False)
    """The private key itself, in place of its file; ssh reads it from our memory and no disk sees it."""

    @property
    def address(self) -> str:
        """user@host:port, as far as it was said."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user + '@' if self.user else ''}{host}{f':{self.port}' if self.port != 22 else ''}"  # noqa: PLR2004


def command_of(login: Login, *, patience: float, key_file: str = "", stand_in: bool = False) -> list[str]:
    """Give the command line of ssh for a login.

    As soon as a key or host keys are named, nothing of the user's own configuration counts: a pod must not depend on
    whose it is. Else it does (names and jump hosts of `ssh HOST` work), but never what forwards, asks or shares.

    Args:
        login: where to.
        patience: seconds for the connection to come about; half of them without a sign of life end it later.
        key_file: private key in place of the login's.
        stand_in: use asyncssh although ssh is here.

    Raises:
        UsageError: ssh is not installed, or host or user cannot be.
    """
    if not _HOST.fullmatch(login.host) or (login.user and not _USER.fullmatch(login.user)):
        raise UsageError(
            f"sftp://{login.address}: no host or user is called so", hint="sftp://USER@HOST:PORT/FOLDER"
        )
    key_file = key_file or login.key_file
    program = shutil.which("ssh")
    if program is None or stand_in:
        return _stand_in(login, patience, key_file)
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "Ciphers": CIPHERS,
        "Compression": "no",
        "ConnectTimeout": str(max(1, round(patience))),
        "ServerAliveInterval": str(max(1, round(patience / 6))),
        "ServerAliveCountMax": "3",
        "LogLevel": "INFO",
        "EscapeChar": "none",
        "RequestTTY": "no",
        "RemoteCommand": "none",
        "ControlMaster": "no",
        "ControlPath": "none",
        "PermitLocalCommand": "no",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "UpdateHostKeys": "no",
    }
    own: list[str] = []
    if key_file or login.known_hosts_file:
        own = ["-F", "none"]
    if key_file:
        options |= {"IdentityFile": _quoted(key_file), "IdentitiesOnly": "yes", "IdentityAgent": "none"}
        options |= {"PreferredAuthentications": "publickey"}
    if login.known_hosts_file:
        options |= {"UserKnownHostsFile": _quoted(login.known_hosts_file), "GlobalKnownHostsFile": "none"}
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    user = ["-l", login.user] if login.user else []
    return [program, *own, *words, *user, "-p", str(login.port), "-s", "--", login.host, "sftp"]


def _stand_in(login: Login, patience: float, key_file: str) -> list[str]:
    """Give the command line of `ssh_stand_in`. Raises UsageError when asyncssh is not here either."""
    if find_spec("asyncssh") is None:
        hint = "apt-get install openssh-client, or, slower: pip install 'tiers[ssh]'"
        raise UsageError(f"sftp://{login.address} needs the program ssh, which is not here", hint=hint)
    wanted = {
        "host": login.host,
        "port": login.port,
        "user": login.user,
        "key_file": key_file,
        "known_hosts_file": login.known_hosts_file,
        "patience": patience,
    }
    return [sys.executable, "-I", "-m", "toolkit.sync.remotes.ssh_stand_in", json.dumps(wanted)]


def in_memory(key: bytes) -> int:
    """Give a descriptor of memory that holds a private key, in the form that ssh takes."""
    if not hasattr(os, "memfd_create"):
        raise UsageError(
            "a private key from a variable needs Linux", hint="give it as a file: credentials: {file: KEY}"
        )
    descriptor = os.memfd_create("login", os.MFD_CLOEXEC)
    os.fchmod(descriptor, 0o600)
    os.write(descriptor, key if key.endswith(b"\n") else key + b"\n")
    return descriptor


def _quoted(path: str) -> str:
    """Write a path as a value of an option of ssh: it splits at spaces and expands percent signs."""
    if '"' in path or "\n" in path:
        raise UsageError(f"{path!r} cannot be named to ssh", hint="give the file another name")
    return '"' + path.replace("%", "%%") + '"'
