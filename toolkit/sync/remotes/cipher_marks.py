"""How a store says that it is encrypted, and for which key: empty objects `cipher/ID`.

`encrypted` writes and heeds them; who opens a store without a key looks here first. Apart from `encrypted`, so that a
sync between folders in the clear does not pay for importing a cipher.
"""

from __future__ import annotations

import re

from toolkit.errors import UsageError
from toolkit.sync.remotes.remote import Remote

MARKS = "cipher/"
_KEY_ID = re.compile(r"[0-9a-f]{16}")


def marks_of(remote: Remote) -> list[str]:
    """Give the ids of the keys that a store says it is encrypted for."""
    names = (found.key.removeprefix(MARKS) for found in remote.list(MARKS))
    return [name for name in names if _KEY_ID.fullmatch(name)]


def refuse_encrypted(remote: Remote) -> Remote:
    """Return a Remote that is opened without a key if what it holds can be read without one.

    Raises:
        UsageError: it holds encrypted data; without the key a store looks empty and would be filled again, readable.
        RemoteUnavailableError: it does not answer.
    """
    marks = marks_of(remote)
    if marks:
        raise UsageError(
            f"{remote.url} is encrypted for key {', '.join(marks)}, and no key was given",
            hint="name the key: tiers.TIER.storage.encryption.key in tiers.yaml, --key-file on the command line",
        )
    return remote
