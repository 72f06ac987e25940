"""Two objects of one kind and one name in one run: whoever applies them keeps the later one. `check` runs the rule.

A listing of a cluster beside the files that it came from is no such case, and neither is the same object twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from toolkit.errors import Severity
from toolkit.lint.document import Document
from toolkit.lint.neighbours import Neighbours, metadata, namespace_of, once_a_run, topology_of
from toolkit.lint.rule import Finding, rule_around
from toolkit.lint.surroundings import Surroundings


class _Identity(NamedTuple):
    group: str
    kind: str
    namespace: str
    name: str


@rule_around(
    "L456",
    Severity.WARNING,
    why="the one that is applied later overwrites the other, and which one that is depends on names of files",
    cure="rename one of the two, or take the one that is meant",
)
def one_of_a_name(document: Document, around: Surroundings) -> Iterator[Finding]:
    """An object has its name for itself."""
    first = _first(around.neighbours).get(_identity(document))
    if first is None or first is document or not _written(document) or first.body == document.body:
        return
    where = f" ({first.place()})" if first.node is not None else ""
    yield Finding(("metadata", "name"), f"another {document.kind} is called {document.name!r} too{where}")


@once_a_run
def _first(around: Neighbours) -> Mapping[_Identity, Document]:
    found: dict[_Identity, Document] = {}
    for listed in around.by_kind.values():
        for each in listed:
            if _written(each):
                found.setdefault(_identity(each), each)
    return found


def _identity(document: Document) -> _Identity:
    return _Identity(document.group, document.kind, namespace_of(document), document.name)


def _written(document: Document) -> bool:
    """Whether somebody wrote it: it has a name, and neither a server nor our renderer has put its marks on it.

    What tiers.yaml becomes has one object of a name in each cluster, and all clusters may lie in one folder.
    """
    marks = metadata(document)
    if topology_of(document):
        return False
    return (
        bool(document.name)
        and not (marks.get("uid") or marks.get("resourceVersion"))
        and ("status" not in document.body)
    )


RULES = (one_of_a_name,)
"""What is wrong when names meet."""
