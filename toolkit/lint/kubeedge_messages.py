"""Rules and RuleEndpoints of KubeEdge's router that it does not carry out. One rule of ours a function.

Its admission webhook would refuse most of them and is off by default; then the router drops the message without a word.
Source: kubeedge/kubeedge v1.23.1 (cloud/pkg/router, cloud/pkg/admissioncontroller, edge/pkg/eventbus).
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, text
from toolkit.lint.neighbours import namespace_of
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings
from toolkit.topology.kubeedge_topics import owner_of

_GROUP = "rules.kubeedge.io"
_WAYS = frozenset({("rest", "eventbus"), ("eventbus", "rest"), ("rest", "servicebus")})
_FROM = {"rest": ("path",), "eventbus": ("topic", "node_name")}
_TO = {"rest": ("resource",), "eventbus": ("topic",), "servicebus": ("path",)}
_LARGEST_PORT = 65535


def is_rule(document: Document) -> bool:
    """Whether an object is a Rule of KubeEdge."""
    return document.kind == "Rule" and document.group == _GROUP


def _endpoints(document: Document, around: Surroundings) -> dict[str, str]:
    """Give name and type of the RuleEndpoints of a Rule's namespace that are in the run."""
    return {
        each.name: text(each.spec.get("ruleEndpointType"))
        for each in around.neighbours.of("RuleEndpoint", namespace_of(document))
        if each.group == _GROUP
    }


def _types(document: Document, around: Surroundings) -> tuple[str, str]:
    """Give the types of a Rule's source and target, each empty where it is not known."""
    known = _endpoints(document, around)
    return known.get(text(document.spec.get("source")), ""), known.get(text(document.spec.get("target")), "")


@rule_around(
    "L249",
    Severity.ERROR,
    why="the router has no such way and drops every message",
    cure="go from rest to eventbus, from rest to servicebus, or from eventbus to rest",
)
def way_that_exists(document: Document, around: Surroundings) -> Iterator[Finding]:
    """Devices cannot send to devices, nor the cloud to itself."""
    source, target = _types(document, around) if is_rule(document) else ("", "")
    if source and target and (source, target) not in _WAYS:
        yield Finding(("spec",), f"goes from {source} to {target}")


@rule_around(
    "L250",
    Severity.WARNING,
    why="the router does not start the rule",
    cure="add the RuleEndpoint to the same namespace, or correct the name",
)
def endpoints_are_there(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A Rule names RuleEndpoints of its own namespace; where none of it is in the run, nobody can say."""
    known = _endpoints(document, around) if is_rule(document) else {}
    for end in ("source", "target"):
        name = text(document.spec.get(end))
        if known and name and name not in known:
            yield Finding(
                ("spec", end), f"there is no RuleEndpoint '{name}' beside {', '.join(sorted(known))}"
            )


@rule_around(
    "L251",
    Severity.ERROR,
    why="the router does not know where to listen or to send, and drops every message",
    cure="rest has path, as a target resource; eventbus has topic, as a source node_name too; servicebus has path",
)
def resources_are_complete(document: Document, around: Surroundings) -> Iterator[Finding]:
    """Each type of endpoint reads keys of its own; the CRD takes any."""
    if not is_rule(document):
        return
    source, target = _types(document, around)
    for key, type_, wanted in (("sourceResource", source, _FROM), ("targetResource", target, _TO)):
        given = mapping(document.spec.get(key))
        missing = [each for each in wanted.get(type_, ()) if not text(given.get(each))]
        if missing:
            yield Finding(("spec", key), f"a {key} of type {type_} has no {' and no '.join(missing)}")


@rule(
    "L252",
    Severity.ERROR,
    why="EdgeCore does not know which service to call",
    cure='write properties: {service_port: "8080"}',
)
def service_has_a_port(document: Document) -> Iterator[Finding]:
    """The port is a text, and only an endpoint of type servicebus needs it."""
    if document.kind != "RuleEndpoint" or document.group != _GROUP:
        return
    port = text(mapping(document.spec.get("properties")).get("service_port"))
    valid = port.isascii() and port.isdigit() and 0 < int(port) <= _LARGEST_PORT
    if document.spec.get("ruleEndpointType") == "servicebus" and not valid:
        yield Finding(("spec", "properties"), "an endpoint of type servicebus without service_port")


@rule(
    "L253",
    Severity.ERROR,
    why="KubeEdge takes the message for one of its own, copies it to the cloud, or never sees it",
    cure="use a topic of your own without wildcards, outside $hw, $ke, SYS, tiers/ and NAME/user/",
)
def topics_are_free(document: Document) -> Iterator[Finding]:
    """The router compares topics letter by letter, and some of them belong to somebody."""
    if not is_rule(document):
        return
    for key in ("sourceResource", "targetResource"):
        topic = text(mapping(document.spec.get(key)).get("topic"))
        whose = "a pattern" if "#" in topic or "+" in topic else owner_of(topic)
        if whose:
            yield Finding(("spec", key, "topic"), f"the topic '{topic}' is {whose}")


RULES = (way_that_exists, endpoints_are_there, resources_are_complete, service_has_a_port, topics_are_free)
"""Every rule of this file, in order of code."""
