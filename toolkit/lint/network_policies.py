"""NetworkPolicies that do something else than they seem to. One rule a function; `check` runs them.

Source: kubernetes.io/docs/concepts/services-networking/network-policies: policies add up, a rule without peers allows
all of them, a direction that policyTypes leaves out is not looked at, and pods of the host's network are outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.neighbours import namespace_of, pod_labels, selects
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_DNS = 53
_WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")
_MAKE_PODS = ("Pod", "Job", "CronJob", "JobTemplate", "JobFlow")
"""Kinds whose pods we do not look at: where there are any, nobody can say that a selector selects nothing."""
_GIVEN = ("volcano.sh/", "batch.kubernetes.io/", "statefulset.kubernetes.io/", "job-name")
"""Labels that controllers give to pods, beside those of the template."""
_DIRECTIONS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


def is_network_policy(document: Document) -> bool:
    """Whether an object is a NetworkPolicy of Kubernetes."""
    return document.kind == "NetworkPolicy" and document.group == "networking.k8s.io"


@rule(
    "L450",
    Severity.ERROR,
    why="a direction that policyTypes does not name stays open, whatever its rules say",
    cure="add the direction to policyTypes",
)
def named_directions(document: Document) -> Iterator[Finding]:
    """Rules of a direction hold only when policyTypes names it."""
    types = sequence(document.spec.get("policyTypes"))
    if not is_network_policy(document) or not types:
        return
    for direction, (key, _) in _DIRECTIONS.items():
        if key in document.spec and direction not in types:
            yield Finding(
                ("spec", key), f"{key} rules, and policyTypes names {', '.join(map(str, types))} only"
            )


@rule(
    "L451",
    Severity.WARNING,
    why="policies add up: with this one, every other policy for the same pods is without effect",
    cure="name who may (podSelector, namespaceSelector, ipBlock), or take the policy away",
)
def open_to_all(document: Document) -> Iterator[Finding]:
    """A policy closes something: one whose rules are empty opens everything, and closes nothing in return."""
    if not is_network_policy(document):
        return
    rules = [
        (("spec", key, index), bool(sequence(each.get(peers)) or sequence(each.get("ports"))))
        for key, peers in _DIRECTIONS.values()
        for index, each in enumerate(map(mapping, sequence(document.spec.get(key))))
    ]
    directions = map(str, sequence(document.spec.get("policyTypes")))
    shut = any(each in _DIRECTIONS and not sequence(document.spec.get(each.lower())) for each in directions)
    if rules and not shut and not any(named for _, named in rules):
        for path, _ in rules:
            yield Finding(path, f"an empty {path[1]} rule allows everything")


@rule(
    "L452",
    Severity.ERROR,
    why="the API server refuses the policy",
    cure="write podSelector, namespaceSelector or ipBlock; an ipBlock stands alone",
)
def peers(document: Document) -> Iterator[Finding]:
    """A peer is pods, namespaces or addresses."""
    if not is_network_policy(document):
        return
    for key, name in _DIRECTIONS.values():
        for index, each in enumerate(map(mapping, sequence(document.spec.get(key)))):
            for number, peer in enumerate(map(mapping, sequence(each.get(name)))):
                named = [part for part in ("podSelector", "namespaceSelector", "ipBlock") if part in peer]
                if not named or (len(named) > 1 and "ipBlock" in named):
                    yield Finding(("spec", key, index, name, number), f"a peer of {len(named)} kinds")


@rule_around(
    "L453",
    Severity.WARNING,
    why="names do not resolve any more, so nothing that is called by name is reached, allowed or not",
    cure="allow port 53, UDP and TCP, to the cluster's DNS",
)
def names_resolve(document: Document, around: Surroundings) -> Iterator[Finding]:
    """Who may call somebody by name may ask the DNS for it."""
    if not is_network_policy(document) or not _by_name(document):
        return
    same = around.neighbours.of("NetworkPolicy", namespace_of(document))
    selector = document.spec.get("podSelector")
    if not any(_allows_dns(each) for each in same if _covers(each.spec.get("podSelector"), selector)):
        yield Finding(("spec", "egress"), "lets pods out, and not to the DNS")


@rule_around(
    "L454",
    Severity.WARNING,
    why="the policy holds for nobody: the pods that it is meant for stay open",
    cure="write the labels of the pods (spec.template.metadata.labels of their workload)",
)
def chosen_pods(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A policy selects pods that there are."""
    selector = document.spec.get("podSelector")
    if not is_network_policy(document) or not mapping(selector):
        return
    namespace, theirs = namespace_of(document), mapping(mapping(selector).get("matchLabels"))
    others = any(around.neighbours.of(kind, namespace) for kind in _MAKE_PODS)
    if others or any(key.startswith(_GIVEN) for key in theirs):
        return
    known = around.neighbours.knows_all(_WORKLOADS, document)
    listed = around.neighbours.workloads_of(namespace)
    if known and not any(selects(selector, pod_labels(each)) for each in listed):
        yield Finding(("spec", "podSelector"), "selects the pods of no workload")


@rule_around(
    "L455",
    Severity.WARNING,
    why="most networks do not apply policies to pods of the host's network: these stay open",
    cure="close the port on the machine (firewall, TLS with client certificates), or leave hostNetwork out",
)
def outside_of_policies(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A policy selects pods that have a network of their own."""
    selector = document.spec.get("podSelector")
    if not is_network_policy(document) or not mapping(selector):
        return
    for workload in around.neighbours.workloads_of(namespace_of(document)):
        on_host = any(template.spec.get("hostNetwork") is True for template in pod_templates(workload))
        if on_host and selects(selector, pod_labels(workload)):
            yield Finding(("spec", "podSelector"), f"the pods of {workload.title} are in the host's network")


def _by_name(document: Document) -> bool:
    """Whether a policy lets pods out to others that are not written as addresses, and so are called by name."""
    types = sequence(document.spec.get("policyTypes"))
    if types and "Egress" not in types:
        return False
    rules = [mapping(each) for each in sequence(document.spec.get("egress"))]
    return any("ipBlock" not in mapping(peer) for each in rules for peer in sequence(each.get("to")) or ({},))


def _allows_dns(document: Document) -> bool:
    return any(_reaches_dns(mapping(each)) for each in sequence(document.spec.get("egress")))


def _reaches_dns(allowed: Mapping[str, object]) -> bool:
    ports = [mapping(each) for each in sequence(allowed.get("ports"))]
    if (
        not ports
    ):  # every port of some peers: of all, or of pods in the namespace of the DNS, for all that is known
        return not sequence(allowed.get("to")) or any(
            "namespaceSelector" in mapping(peer) for peer in sequence(allowed.get("to"))
        )
    return any(port.get("port") in (_DNS, str(_DNS), "dns", "dns-tcp") for port in ports) or any(
        "port" not in port and text(port.get("protocol")) == "UDP" for port in ports
    )


def _covers(wide: object, narrow: object) -> bool:
    """Whether a selector of matchLabels takes all pods of another one."""
    labels, expressions = mapping(wide).get("matchLabels"), mapping(wide).get("matchExpressions")
    theirs = mapping(mapping(narrow).get("matchLabels"))
    if wide == narrow:
        return True
    return not expressions and all(theirs.get(key) == value for key, value in mapping(labels).items())


RULES = (named_directions, open_to_all, peers, names_resolve, chosen_pods, outside_of_policies)
"""What NetworkPolicies do not do, in order of code."""
