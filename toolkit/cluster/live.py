"""What is in the cluster of a topology: one LIST a kind, by the labels that say whose an object is.

First step of `diff` and `status`. An answer is a page of objects, never all of a large cluster.

`look` finds the members of the ApplySet, and beside them what merely has a name that we want. For the latter there is
no selector: up to FEW missing objects of a kind are asked for one by one, more by one LIST without specs and data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from toolkit.cluster.applyset import PART, PART_OF_LABEL, REVISION, ApplySet, Contents
from toolkit.cluster.kinds import Kinds, Resource
from toolkit.cluster.parent import recorded
from toolkit.cluster.refusal import NOT_FOUND, RefusedError
from toolkit.cluster.request import NAMES_ONLY, PLAIN, Json
from toolkit.render.metadata import NOUN_LABEL, TOPOLOGY_LABEL
from toolkit.render.rendered import RenderedObject

PAGE = 500
"""Objects in one answer."""
FEW = 4
PARALLEL = 8
Key = tuple[str, str, str, str]
"""apiVersion, kind, namespace, name."""


@dataclass(frozen=True)
class Live:
    """What is there, by the keys of what was rendered."""

    objects: Mapping[Key, Json]
    """Our members, and whatever else has a name that we want."""
    members: frozenset[Key]
    recorded: Contents | None
    """What the parent of the set covers; None when there is no parent."""


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


def look(kinds: Kinds, applyset: ApplySet | None, wanted: Sequence[RenderedObject]) -> Live:
    """Find every member of a set, and what else has the name of an object that is wanted.

    Args:
        kinds: the way to the cluster.
        applyset: whose members; None for objects that belong to no set.
        wanted: what was rendered for this cluster.

    Raises:
        ClusterError: a kind does not exist in the cluster or may not be listed, or another tool keeps the set.
        UnreachableError: the server does not answer.
    """
    covered = recorded(kinds, applyset) if applyset else None
    members = find_members(kinds, applyset, covered, wanted) if applyset else {}
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        missing = sorted(key for each in wanted if (key := key_of(each.body)) not in members)
        groups = [list(group) for _, group in groupby(missing, key=lambda key: key[:3])]
        asked = [key for keys in threads.map(lambda keys: _present(kinds, keys), groups) for key in keys]
        others = [body for body in threads.map(lambda key: get(kinds, key), asked) if body is not None]
    return Live(members | {key_of(body): body for body in others}, frozenset(members), covered)


def find_members(
    kinds: Kinds, applyset: ApplySet, covered: Contents | None, wanted: Sequence[RenderedObject]
) -> dict[Key, Json]:
    """Give every member of a set: one LIST for each kind that the parent covers or that is wanted.

    Raises:
        ClusterError: a kind that is wanted does not exist in the cluster, or one may not be listed.
        UnreachableError: the server does not answer.
    """
    places = _places(kinds, applyset, covered or Contents(), wanted)
    selector = f"{PART_OF_LABEL}={applyset.id}"
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        listed = threads.map(lambda place: list(list_all(kinds, place[0], selector, place[1])), places)
        return {key_of(body): body for bodies in listed for body in bodies}


def _places(
    kinds: Kinds, applyset: ApplySet, covered: Contents, wanted: Sequence[RenderedObject]
) -> list[tuple[Resource, str]]:
    """Say which kinds to list in which namespaces."""
    places = [(each.api_version, each.kind, each.namespace) for each in wanted if not each.submitted]
    rendered = applyset.contents(places)
    resources = {kinds.resource(api_version, kind) for api_version, kind, _ in places}
    for name in sorted(covered.kinds - rendered.kinds):
        kind, _, group = name.partition(".")
        gone = kinds.of_group(kind, group)
        resources |= {gone} if gone else set()
    namespaces = sorted({applyset.namespace} | covered.namespaces | rendered.namespaces)
    ordered = sorted(resources, key=lambda each: (each.api_version, each.kind))
    return [(each, name) for each in ordered for name in (namespaces if each.namespaced else [""])]


def _present(kinds: Kinds, keys: list[Key]) -> list[Key]:
    """Keep those of one kind and namespace that may be there."""
    if len(keys) <= FEW:
        return keys
    api_version, kind, namespace, _ = keys[0]
    there = list_all(kinds, kinds.resource(api_version, kind), "", namespace, accept=NAMES_ONLY)
    return sorted({key_of(body) for body in there} & set(keys))


def get(kinds: Kinds, key: Key) -> Json | None:
    """Give one object; None when it is not there. Raises RefusedError, UnreachableError."""
    api_version, kind, namespace, name = key
    try:
        return kinds.connection.get(kinds.resource(api_version, kind).path(namespace, name))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return None
        raise


def live_objects(kinds: Kinds, topology: str, wanted: Iterable[tuple[str, str, str]]) -> dict[Key, Json]:
    """Give every object of a topology, of these kinds in these namespaces (apiVersion, kind, namespace).

    A namespace is asked for by itself, so that a Role is enough to look at its objects.

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be listed.
        UnreachableError: the server does not answer.
    """
    places = [
        (kinds.resource(api_version, kind), namespace) for api_version, kind, namespace in sorted(set(wanted))
    ]
    selector = f"{TOPOLOGY_LABEL}={topology},{NOUN_LABEL} notin ({REVISION},{PART})"
    found: dict[Key, Json] = {}
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        for listed in threads.map(lambda place: list(list_all(kinds, place[0], selector, place[1])), places):
            found.update({key_of(body): body for body in listed})
    return found


def list_all(
    kinds: Kinds, resource: Resource, selector: str, namespace: str = "", accept: str = PLAIN
) -> Iterator[Json]:
    """Give every object of a kind that a label selector chooses (empty: all), page by page.

    Raises:
        RefusedError: it may not be listed, or (410) the list changed so long that its pages ran out; list again.
        UnreachableError: the server does not answer.
    """
    query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
    while True:
        page = kinds.connection.send("GET", resource.path(namespace), query, accept=accept)
        items = page.get("items")
        for item in items if isinstance(items, list) else []:
            # Items of a list carry neither (names alone carry those of the short form), and objects are known by both.
            yield {**item, "apiVersion": resource.api_version, "kind": resource.kind}
        metadata = page.get("metadata")
        token = str(metadata.get("continue") or "") if isinstance(metadata, Mapping) else ""
        if not token:
            return
        query["continue"] = token
