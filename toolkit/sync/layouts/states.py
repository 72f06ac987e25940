"""The sidecar of a mirror: its lock, and its indexes, read when all there and removed when no Ref names them any more.

`layouts.mirror` locks and reads before it plans, and removes after it has written its Ref.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.folder import Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref, encode_ref
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.digest import Digest
from toolkit.wire.tree import Tree, tree_of

NOTHING = tree_of(())
AT_WORK = "wait for it, or end it"
"""The hint of a run that another run of its route keeps out; `prefetch` waits when it reads this one."""
_TOGETHER = 64
"""So many parts of an index are written before the disk is waited for; each keeps a file open."""


def lock_route(folder: Folder, route: str, refs: str) -> int:
    """Keep other runs of a route out until the descriptor that comes back is closed.

    Args:
        folder: the storage.
        route: name of the route, for people.
        refs: what its Refs begin with.

    Raises:
        RemoteUnavailableError: the sidecar cannot be written.
        SyncError: another run of the route is at work.
    """
    name = refs.replace("/", "+").encode()
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with folder.folder(SIDECAR + b"/locks", create=True) as locks:
            descriptor = os.open(name, flags, 0o644, dir_fd=locks)
    except OSError as error:
        raise unavailable(error, folder.path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        message = f"another run of route {route} is writing to {folder.path}"
        raise SyncError(message, hint=AT_WORK) from error
    return descriptor


def read_tree_if_whole(documents: Documents, digest: Digest) -> Tree:
    """Read an index; `NOTHING` when it, or a part of it, was removed by hand.

    Nothing is known to be ours then; files that are right are found by reading them.

    Raises:
        IntegrityError: it was damaged.
    """
    with suppress(MissingObjectError):
        tree = documents.get_tree(digest)
        if all(map(documents.remote.exists, documents.index_keys(digest))):
            return tree
    return NOTHING


@contextmanager
def index_laid_out(
    documents: Documents, sidecar: DirectoryRemote, tree: Tree, name: str, ref: Ref
) -> Iterator[tuple[bytes, ...]]:
    """Store an index at the end of a `with`, in which its bytes are brought to the disk together with other things.

    Args:
        documents: of the sidecar.
        sidecar: where they are kept.
        tree: the index; parts that are there already stay.
        name: of the Ref that names it from then on, when all of it is on the disk.
        ref: that Ref.

    Yields:
        Where the bytes lie until then, below the sidecar; see `DirectoryRemote.laid_out`. Of an index of very many
        parts that is the rest: those before are brought to the disk here.
    """
    batch: list[tuple[str, bytes]] = []
    for each in documents.index_objects(tree):
        if len(batch) >= _TOGETHER:
            with sidecar.laid_out(batch) as drafts:
                sidecar.flush(drafts)
            batch = []
        batch.append(each)
    written = encode_ref(documents.as_written(ref))
    with sidecar.laid_out(batch, last=(f"refs/{name}", written)) as drafts:
        yield drafts


def drop_state(
    documents: Documents, sidecar: DirectoryRemote, name: str | None, digests: Iterable[Digest]
) -> None:
    """Remove a Ref, or none, and those of some indexes, with their parts, that no other Ref leads to.

    The disk is waited for once. Should a loss of power bring some of it back, the next run takes longer, or something
    lies there that nobody reads.
    """
    names = [each for each in documents.list_refs() if each != name]
    refs = {ref.digest for each in names if (ref := documents.read_ref(each)) is not None}
    old = _keys_of(documents, digests)
    keys = sorted(old - _keys_of(documents, refs) if old else ())
    sidecar.delete_all([f"refs/{name}", *keys] if name else keys)


def _keys_of(documents: Documents, digests: Iterable[Digest]) -> set[str]:
    keys: set[str] = set()
    for digest in digests:
        with suppress(MissingObjectError, IntegrityError):
            for key in documents.index_keys(digest):
                keys.add(key)  # one by one: what comes before damage counts
    return keys
