"""What ssh says on its way out, as an error with a cure. Between `ssh`, which catches the words, and people.

The words are those of OpenSSH's ssh.c, sshconnect.c and readconf.c; what is not known here is shown as it is.
"""

from __future__ import annotations

import re

from toolkit.errors import RemoteRefusedError, RemoteUnavailableError

_LONGEST = 300

_FOR_GOOD: tuple[tuple[str, str, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known; somebody may stand between, or it was set up anew",
        "ask its people for the fingerprint; if it was set up anew: ssh-keygen -R HOST -f KNOWN_HOSTS, then add it",
    ),
    (
        "HOST KEY REVOKED|marked as revoked",
        "its host key was revoked",
        "ask its people for a new one",
    ),
    (
        "Host key verification failed|host key is known for",
        "its host key is not known here",
        "ssh-keyscan -p PORT HOST >> KNOWN_HOSTS, and compare the fingerprint (ssh-keygen -lf) with its people's",
    ),
    (
        "UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "others can read the private key, so ssh does not take it",
        "chmod 600 the file of the key",
    ),
    (
        "invalid format|error in libcrypto|Load key .*: ",
        "the private key cannot be read; it may have a passphrase, or be no key",
        "give a key without a passphrase that is for this alone: ssh-keygen -t ed25519 -N '' -f FILE",
    ),
    (
        "Permission denied|Too many authentication failures",
        "it does not take the login",
        "put the public key into that user's authorized_keys, and name the private one: credentials: {file: KEY}",
    ),
    (
        "subsystem request failed",
        "it has no SFTP",
        "let its sshd_config say: Subsystem sftp internal-sftp",
    ),
    (
        "Unable to negotiate",
        "it shares no cipher or key exchange with this ssh",
        "bring its OpenSSH to a version of this decade",
    ),
    (
        "Could not resolve hostname .*(Name or service not known|No address)",
        "nobody knows a host of this name",
        "look at the address, or at the name server",
    ),
    (
        "No user exists for uid",
        "ssh runs only for users that have a name on this machine",
        "give the user's number a line in /etc/passwd, as our image of jobs does",
    ),
    (
        "Bad configuration option|terminating, .* bad configuration",
        "this ssh does not know an option of ours",
        "bring OpenSSH here to 8.5 or newer",
    ),
)
_FOR_NOW: tuple[tuple[str, str, str], ...] = (
    ("Connection refused", "nothing listens there", "start its sshd, or look at the port"),
    (
        "timed out|not responding",
        "it does not answer",
        "look at the line and at the machine, then run it again",
    ),
    ("No route to host|Network is unreachable", "no way leads there", "look at the line and at the routes"),
    ("Temporary failure in name resolution", "the name server does not answer", "look at the line"),
    ("reset by peer|Broken pipe|closed by remote host|Connection closed", "it has hung up", "run it again"),
)


def explain(address: str, reason: str, words: str) -> RemoteUnavailableError:
    """Give the error for a connection that is over.

    Args:
        address: of the server, without secrets.
        reason: what we saw ourselves; empty when ssh ended by itself.
        words: what ssh said, to its end.

    Returns:
        RemoteRefusedError when trying again helps nobody, else RemoteUnavailableError.
    """
    where = f"sftp://{address}"
    said = " / ".join(line for line in map(_clean, words.splitlines()) if line and set(line) != {"@"})
    for table, kind in ((_FOR_GOOD, RemoteRefusedError), (_FOR_NOW, RemoteUnavailableError)):
        for pattern, meaning, cure in table:
            if re.search(pattern, words):
                return kind(f"{where}: {meaning} (ssh: {said[-_LONGEST:]})", hint=cure)
    if reason:
        return RemoteUnavailableError(
            f"{where}: {reason}", hint="look at the line and at the machine, then run it again"
        )
    told = f" (ssh: {said[-_LONGEST:]})" if said else ""
    return RemoteUnavailableError(f"{where}: the connection has ended{told}", hint="run it again")


def _clean(line: str) -> str:
    """Take out what could trouble a terminal; a server can make ssh say what it likes."""
    return "".join(each for each in line if each.isprintable()).strip()
