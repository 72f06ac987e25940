"""What is in the cluster of a topology: one LIST a kind, by the label that `render` puts on everything.

First step of `diff` and `status`. An answer is a page of objects, never all of a large cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from toolkit.cluster.kinds import Kinds, Resource
from toolkit.cluster.request import Json
from toolkit.render.metadata import TOPOLOGY_LABEL

PAGE = 500
"""Objects in one answer."""
Key = tuple[str, str, str, str]
"""apiVersion, kind, namespace, name."""


def key_of(body: Mapping[str, object]) -> Key:
    """Give what an object is known by."""
    metadata = body.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    return (
        str(body.get("apiVersion")),
        str(body.get("kind")),
        str(named.get("namespace") or ""),
        str(named.get("name")),
    )


def live_objects(kinds: Kinds, topology: str, wanted: Iterable[tuple[str, str]]) -> dict[Key, Json]:
    """Give every object of a topology, of these kinds (apiVersion, kind).

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be listed.
        UnreachableError: the server does not answer.
    """
    resources = [kinds.resource(*each) for each in sorted(set(wanted))]
    selector = f"{TOPOLOGY_LABEL}={topology}"
    found: dict[Key, Json] = {}
    with ThreadPoolExecutor(max_workers=8) as threads:
        for listed in threads.map(lambda each: list(list_all(kinds, each, selector)), resources):
            found.update({key_of(body): body for body in listed})
    return found


def list_all(kinds: Kinds, resource: Resource, selector: str, namespace: str = "") -> Iterator[Json]:
    """Give every object of a kind that a label selector chooses (empty: all), page by page.

    Raises:
        RefusedError: it may not be listed, or (410) the list changed so long that its pages ran out; list again.
        UnreachableError: the server does not answer.
    """
    query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
    while True:
        page = kinds.connection.get(resource.path(namespace), **query)
        items = page.get("items")
        for item in items if isinstance(items, list) else []:
            # Items of a list carry neither, and objects are known by both.
            yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}
        metadata = page.get("metadata")
        token = str(metadata.get("continue") or "") if isinstance(metadata, Mapping) else ""
        if not token:
            return
        query["continue"] = token
