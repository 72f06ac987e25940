"""Names of objects that exist once for each device, such as a sensor's Device and a message's Rule.

Beside `sensors` and `messages`. The dot keeps names apart that a dash would not: no noun has a dot in its name.
"""

from __future__ import annotations

import hashlib

LONGEST = 253
"""Characters of a name by RFC 1123, which these kinds take."""
_HASH_LENGTH = 8


def name_on(noun: str, node: str) -> str:
    """Name what a noun becomes on a device; what is too long is cut and told apart by a hash."""
    name = f"{noun}.{node}"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: LONGEST - _HASH_LENGTH - 1].rstrip('-.')}-{digest}"
