"""Names of the Refs of a route, the same in every layout.

routes/ROUTE/head                  what the target holds
routes/ROUTE/next                  mirror: what is being put in place
routes/ROUTE/at/SEQUENCE           packs: each state that the route brought
routes/ROUTE/from/ORIGIN/…         the same, for each machine that runs the route
"""

from __future__ import annotations

from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref
from toolkit.sync.task import SyncTask


def ref_root(task: SyncTask) -> str:
    """Give what the names of a task's Refs begin with, without a slash at the end."""
    return f"routes/{task.route}/from/{task.origin}" if task.origin else f"routes/{task.route}"


def heads_of_path(documents: Documents, path: str) -> list[tuple[str, Ref]]:
    """List the routes whose data lies under a path of a store, with their heads, the one written last at the end."""
    heads: list[tuple[str, Ref]] = []
    for name in documents.list_refs("routes/"):
        root, _, last = name.rpartition("/")
        if last == "head":
            ref = documents.read_ref(name)
            if ref is not None and ref.path == path:
                heads.append((root, ref))
    return sorted(heads, key=lambda head: head[1].written_ms)
