"""The parent of an ApplySet in the cluster: which kinds and namespaces have members. Read by `diff`, kept by `apply`.

Rule of writing: it is widened before the first member of a new kind is written, and narrowed after the last member of
an old kind is gone. So at every moment it covers all members, and an apply that was interrupted forgets none of them.
"""

from __future__ import annotations

from importlib.metadata import version

from toolkit.cluster.applyset import TOOL, ApplySet, Contents
from toolkit.cluster.compare import MANAGER
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.refusal import NOT_FOUND, RefusedError

_CONFIG_MAP = ("v1", "ConfigMap")


def recorded(kinds: Kinds, applyset: ApplySet) -> Contents | None:
    """Read what the parent covers; None when it is not there.

    Raises:
        ClusterError: it is another tool's, or it may not be read.
        UnreachableError: the server does not answer.
    """
    try:
        return applyset.read_parent(kinds.connection.get(_path(kinds, applyset)))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return None
        raise


def record(kinds: Kinds, applyset: ApplySet, contents: Contents) -> None:
    """Write what the parent covers.

    Raises:
        RefusedError: the server does not take it, or (ConflictError) somebody else has changed it.
        UnreachableError: the server does not answer.
    """
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
    body = applyset.parent(contents, version(TOOL))
    kinds.connection.send("PATCH", _path(kinds, applyset), query, body)


def _path(kinds: Kinds, applyset: ApplySet) -> str:
    return kinds.resource(*_CONFIG_MAP).path(applyset.namespace, applyset.name)
