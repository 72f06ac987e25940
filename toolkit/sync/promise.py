"""Write a Ref so that no garbage collection pulls away what it points to: say it first, look again, write, take back.

    pending/ID ← the Ref        from now on a collection counts what lies below it as used
    confirm                     everything below it is here, and no collection that began before is about to delete it
    the Ref itself
    pending/ID is taken away

Every writer of packs goes through here (`route_refs.write_state`, `registry.push`). A writer that dies between leaves
its `pending/ID`; collections take it away when it is a week old. Why no interleaving loses a chunk is told in `gc`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toolkit.sync.below import chunks_below, keys_below
from toolkit.sync.collecting import PENDING
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref, encode_ref


@contextmanager
def promised(documents: Documents, ref: Ref, undo: Callable[[], object]) -> Iterator[None]:
    """Keep what a Ref points to while it is written inside of the `with`.

    Args:
        documents: the store; one without packs has no garbage that a collection deletes.
        ref: what will be written; everything below it is stored already.
        undo: takes the Ref back. Called when the writer was stopped for so long that its promise was forgotten, and
            what it needs is gone.

    Raises:
        SyncError: something below the Ref was collected; before the Ref was written, or it has been taken back.
        RemoteUnavailableError: the store does not answer.
    """
    if not isinstance(documents, PackStore):
        yield
        return
    key = f"{PENDING}{os.urandom(8).hex()}"
    documents.remote.write_new(key, encode_ref(documents.as_written(ref)))
    stood = True
    try:
        _confirm(documents, ref)
        yield
    finally:
        stood = documents.remote.delete(key)
    if not stood:
        try:
            _confirm(documents, ref)
        except BaseException:
            undo()
            raise


def write_promised(documents: Documents, name: str, ref: Ref) -> bool:
    """Let a new name point somewhere and say whether it was new. Errors as in `promised`."""
    with promised(documents, ref, lambda: documents.delete_ref(name)):
        return documents.write_new_ref(name, ref)


def _confirm(store: PackStore, ref: Ref) -> None:
    store.confirm(chunks_below(store, ref), keys_below(store, ref))
