"""What a device may do in its part of an inbox: add, and nothing else. `inbox` asks before it carries a call out.

A device is a machine in a ward: it may be stolen, and what it sent must outlive that. So it cannot delete, what is
named by a digest must have it, and only Refs change, whose history is kept by the packs and indexes below them. What
it is about to promise (`pending/`, see `toolkit.sync.promise`) it may take away again.
"""

from __future__ import annotations

from toolkit.errors import IntegrityError, SyncError
from toolkit.sync.collecting import PENDING
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.digest import digest_of
from toolkit.wire.store_call import StoreCall

_BY_DIGEST = ("packs/", "indexes/")
_MANIFESTS = "manifests/"
_CHANGING = ("refs/", PENDING)


def only_add(call: StoreCall, data: bytes, remote: Remote) -> None:
    """Look at an operation before it is done; `data` is what it would write.

    Raises:
        SyncError: a device may not do that.
        IntegrityError: the object does not have the digest that names it.
    """
    if call.operation == "delete" and not call.key.startswith(PENDING):
        raise SyncError("a device may not delete what it has sent", hint="delete it where the inbox keeps it")
    if call.operation not in {"write", "new"} or call.key.startswith(_CHANGING):
        return
    kind = next((each for each in _BY_DIGEST if call.key.startswith(each)), "")
    if kind:
        if call.key.removeprefix(kind) != digest_of(data):
            raise IntegrityError(f"{call.key[:100]} does not have the digest that names it")
    elif not call.key.startswith(_MANIFESTS):
        raise SyncError(
            f"{call.key[:100]} has no place in an inbox", hint="packs, indexes, manifests and refs have"
        )
    elif remote.exists(call.key):
        raise SyncError(f"{call.key[:100]} is there already, and stays as it is")
