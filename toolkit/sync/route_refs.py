"""Names of the Refs of a route, the same in every layout, and how a new state comes into them.

routes/ROUTE/head                  what the target holds
routes/ROUTE/next                  mirror: what is being put in place
routes/ROUTE/at/SEQUENCE           packs: each state that the route brought
routes/ROUTE/from/ORIGIN/…         the same, for each machine that runs the route
"""

from __future__ import annotations

from toolkit.errors import SyncError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.promise import promised
from toolkit.sync.ref import Ref
from toolkit.sync.task import SyncTask
from toolkit.wire.digest import Digest


def ref_root(task: SyncTask) -> str:
    """Give what the names of a task's Refs begin with, without a slash at the end."""
    return f"routes/{task.route}/from/{task.origin}" if task.origin else f"routes/{task.route}"


def write_state(documents: Documents, root: str, before: Ref | None, digest: Digest, path: str) -> Ref:
    """Let a route of packs point to a new state: into its history first, then as its head.

    A run that died before the head may have taken a number already; that state is taken up when it is the same.

    Args:
        documents: the store.
        root: what the route's Refs begin with.
        before: the head that the new state follows.
        digest: of the index, which is stored already.
        path: the folder of the storage that it describes.

    Raises:
        SyncError: the head is not `before` any more: another run of the route was faster.
    """
    if documents.read_ref(f"{root}/head") != before:
        raise SyncError(
            f"another run of route {root.removeprefix('routes/')} has written to {documents.remote.url} meanwhile",
            hint="run it again; what has arrived is not sent again",
        )
    written: list[Ref] = []

    def undo() -> None:
        """Take the new state back; what was before it may be gone by now too, the newest one that stands is not."""
        for ref in written:
            documents.delete_ref(f"{root}/at/{ref.sequence:010d}")
            head = documents.read_ref(f"{root}/head")
            if head is not None and (head.sequence, head.digest) == (ref.sequence, ref.digest):
                names = documents.list_refs(f"{root}/at/")
                newest = documents.read_ref(names[-1]) if names else None
                documents.write_ref(f"{root}/head", newest) if newest else documents.delete_ref(
                    f"{root}/head"
                )

    with promised(documents, Ref(kind="index", digest=digest, path=path), undo):
        sequence = before.sequence if before else 0
        while True:
            sequence += 1
            ref = Ref(kind="index", digest=digest, path=path, sequence=sequence)
            name = f"{root}/at/{sequence:010d}"
            left = None if documents.write_new_ref(name, ref) else documents.read_ref(name)
            if left is None or left.digest == digest:
                written.append(left or ref)
                documents.write_ref(f"{root}/head", left or ref)
                return left or ref


def heads_of_route(documents: Documents, route: str) -> list[tuple[str, Ref]]:
    """List the heads of a route, one a machine that runs it, with the machine's name (empty when one runs it)."""
    heads: list[tuple[str, Ref]] = []
    for name in documents.list_refs(f"routes/{route}/"):
        root, _, last = name.rpartition("/")
        ref = documents.read_ref(name) if last == "head" else None
        if ref is not None:
            heads.append((root.partition("/from/")[2], ref))
    return heads


def heads_of_routes(documents: Documents) -> list[tuple[str, Ref]]:
    """List what the names of each route's Refs begin with and its head, the one written last at the end."""
    heads: list[tuple[str, Ref]] = []
    for name in documents.list_refs("routes/"):
        root, _, last = name.rpartition("/")
        ref = documents.read_ref(name) if last == "head" else None
        if ref is not None:
            heads.append((root, ref))
    return sorted(heads, key=lambda head: head[1].written_ms)
