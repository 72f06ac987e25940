"""Volcano HyperNodes: which machines are near each other, said in a way that means something. One rule a function.

Source: volcano-sh/volcano v1.15.1, the CRD of hypernodes.topology.volcano.sh (rules of the schema that our validator
does not run), pkg/webhooks/admission/hypernodes/validate, and pkg/scheduler/api/hyper_node_info.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_REFUSED = "the API server or Volcano's webhook refuses the object"
_SELECTORS = ("exactMatch", "regexMatch", "labelMatch")
_MEMBERS = ("spec", "members")


def is_hypernode(document: Document) -> bool:
    """Whether an object is a Volcano HyperNode."""
    return document.kind == "HyperNode" and document.group == "topology.volcano.sh"


@rule(
    "L142",
    Severity.ERROR,
    why=_REFUSED,
    cure="give each member exactly one of exactMatch, regexMatch and labelMatch; HyperNodes are named by exactMatch",
)
def members_are_said_once(document: Document) -> Iterator[Finding]:
    """There are members, each is selected in one way, and a pattern is a regular expression."""
    if not is_hypernode(document):
        return
    members = sequence(document.spec.get("members"))
    if not members:
        yield Finding(("spec",), "has no members")
    for index, member in enumerate(members):
        path: ValuePath = (*_MEMBERS, index, "selector")
        selector = mapping(mapping(member).get("selector"))
        used = [each for each in _SELECTORS if each in selector]
        if len(used) != 1:
            yield Finding(path, f"selects by {' and by '.join(used) or 'nothing'}")
        elif used == ["labelMatch"] and mapping(member).get("type") == "HyperNode":
            yield Finding(path, "a HyperNode is not selected by labels")
        elif used == ["regexMatch"] and not _compiles(text(mapping(selector["regexMatch"]).get("pattern"))):
            yield Finding((*path, "regexMatch", "pattern"), "is no regular expression")


@rule_around(
    "L143",
    Severity.ERROR,
    why="the scheduler takes the tree for broken and places workers as if all machines were equally near",
    cure="let the tier of a HyperNode be higher than those of its members, and name members that are there",
)
def tiers_grow_upwards(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A HyperNode stands above its members; silent about members when it is the only HyperNode of the run."""
    if not is_hypernode(document):
        return
    known = {each.name: each for each in around.neighbours.of("HyperNode")}
    own = whole(document.spec.get("tier"), 0)
    for index, each in enumerate(sequence(document.spec.get("members"))):
        member = mapping(each)
        name = text(mapping(mapping(member.get("selector")).get("exactMatch")).get("name"))
        if member.get("type") != "HyperNode" or not name or len(known) == 1:
            continue
        path: ValuePath = (*_MEMBERS, index, "selector", "exactMatch", "name")
        if name not in known:
            yield Finding(path, f"there is no HyperNode {name!r} among these objects")
        elif whole(known[name].spec.get("tier"), 0) >= own:
            yield Finding(path, f"{name!r} has tier {known[name].spec.get('tier')}, this one {own}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return bool(pattern)


RULES = (members_are_said_once, tiers_grow_upwards)
"""What is wrong with HyperNodes, in order of code."""
