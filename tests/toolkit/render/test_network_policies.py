"""Exactly the designed flows: every pair of ends and every port, as the rendered policies decide, against the design.

The rules of NetworkPolicies are evaluated here (kubernetes.io/docs/concepts/services-networking/network-policies): a
pod that a policy selects takes and makes only what some policy of that direction allows; a connection needs both ends.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.toolkit.render.clinic import clinic
from toolkit.errors import TopologyError
from toolkit.render.objects import render

PORTS = (22, 53, 80, 443, 1883, 6443, 8080, 8443, 8883, 9000, 9108, 9109, 9400, 23456)
EVERY_PORT = frozenset(PORTS)


@dataclass(frozen=True)
class End:
    """Somebody who calls or is called: a pod, or an address outside."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    address: str = "203.0.113.7"


PROMETHEUS = End("prometheus", "monitoring", {"app": "prometheus"})
DNS = End("dns", "kube-system", {"k8s-app": "kube-dns"})
STRANGER = End("stranger", "elsewhere")
SYSTEM = End("system", "kube-system", {"k8s-app": "other"})
DEVICE = End("device", address="10.20.3.4")
ARCHIVE = End("archive", address="192.0.2.9")
INTERNET = End("internet", address="198.51.100.1")
OUTSIDE = (PROMETHEUS, DNS, STRANGER, SYSTEM, DEVICE, ARCHIVE, INTERNET)


def matches(selector, labels) -> bool:
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer, end: End, namespace: str) -> bool:
    if "ipBlock" in peer:
        network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return not end.namespace and ipaddress.ip_address(end.address) in network
    if not end.namespace:
        return False
    if "namespaceSelector" in peer:
        same = matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace})
    else:
        same = end.namespace == namespace
    return same and matches(peer.get("podSelector", {}), end.labels)


def lets(policies, direction, pod: End, other: End, protocol: str, port: int) -> bool:
    """Tell whether the policies of a pod allow a connection in one direction; without any, all is open."""
    key, peers = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}[direction]
    mine = [
        each
        for each in policies
        if each["metadata"]["namespace"] == pod.namespace
        and matches(each["spec"]["podSelector"], pod.labels)
        and direction in each["spec"]["policyTypes"]
    ]
    rules = [rule for each in mine for rule in each["spec"].get(key, [])]
    return not mine or any(
        (not rule.get(peers) or any(is_peer(peer, other, pod.namespace) for peer in rule[peers]))
        and (not rule.get("ports") or {"protocol": protocol, "port": port} in rule["ports"])
        for rule in rules
    )


def matrix(topology) -> dict[tuple[str, str], frozenset[int]]:
    """Give the TCP ports on which each end may call each other one; UDP only for the DNS."""
    bodies = [each.body for each in render(topology)]
    policies = [body for body in bodies if body["kind"] == "NetworkPolicy"]
    assert policies
    namespace = policies[0]["metadata"]["namespace"]
    pods = {}
    for body in bodies:
        for labels, spec in pod_templates(body):
            if not spec.get("hostNetwork"):
                name = f"{labels['tiers.dev/part-of']} {labels['tiers.dev/name']}"
                pods[name] = End(name, namespace, labels)
    ends = [*pods.values(), End("visitor", namespace), *OUTSIDE]
    found = {}
    for source in ends:
        for target in ends:
            if namespace not in {source.namespace, target.namespace}:
                continue
            ports = frozenset(
                port
                for port in PORTS
                if lets(policies, "Egress", source, target, "TCP", port)
                and lets(policies, "Ingress", target, source, "TCP", port)
            )
            if ports:
                found[source.name, target.name] = ports
            udp = lets(policies, "Egress", source, target, "UDP", 53) and target is DNS
            assert udp == (target is DNS and source.namespace == namespace)
    return found


def pod_templates(body):
    spec = body.get("spec", {})
    if body["kind"] == "CronJob":
        template = spec["jobTemplate"]["spec"]["template"]
        yield template["metadata"]["labels"], template["spec"]
    elif body["kind"] in {"Deployment", "DaemonSet"}:
        yield spec["template"]["metadata"]["labels"], spec["template"]["spec"]
    elif body["kind"] == "Job":
        for task in spec["tasks"]:
            yield task["template"]["metadata"]["labels"], task["template"]["spec"]


def designed(rows: dict[tuple[str, str], set[int]], pods: list[str]) -> dict[tuple[str, str], frozenset[int]]:
    """Add to the rows of a design what holds for everybody: names, and a gang's workers among themselves."""
    everybody = {(pod, "dns"): frozenset({53}) for pod in [*pods, "visitor"]}
    gangs = {(pod, pod): EVERY_PORT for pod in pods if pod.startswith("job ")}
    return everybody | gangs | {key: frozenset(ports) for key, ports in rows.items()}


def test_the_clinic_has_exactly_the_designed_flows():
    pods = [
        "agent hot",
        "agent warm",
        "broker broker",
        "depot depot",
        "driver driver",
        "job seg3d",
        "lifecycle lifecycle",
        "pool carts",
    ]
    rows = {
        ("depot depot", "broker broker"): {8883},
        ("driver driver", "broker broker"): {8883},
        ("pool carts", "broker broker"): {8883},
        ("device", "broker broker"): {8883},
        ("pool carts", "depot depot"): {8443},
        ("device", "depot depot"): {8443},
        ("agent warm", "archive"): {22, 443},
        ("lifecycle lifecycle", "archive"): {22, 443},
    }
    assert matrix(clinic()) == designed(rows, pods)


def test_a_site_with_services_watched_by_prometheus_has_exactly_the_designed_flows(topology):
    changes = {
        "network": {"policies": {"clients": ["10.20.0.0/16"]}},
        "monitoring": {"kind": "operator"},
        "tiers": {"hot": {"agent": {"pool": "a100", "certificate": {"secret": "agent-tls"}}}},
        "registry": {"url": "s3://models", "endpoint": "https://objects.example:9000"},
        "depot": {"pool": "nvme", "keyring": {"secret": "site-keys"}, "certificate": {"secret": "depot-tls"}},
    }
    site = topology(changes)
    pods = ["agent hot", "depot depot", "job digits", "job seg3d", "monitoring a100", "monitoring h100"]
    pods += ["pool endoscopy", "service medical-ai"]
    open_targets = [each.name for each in OUTSIDE]
    rows: dict[tuple[str, str], set[int]] = {
        ("device", "service medical-ai"): {8080},
        ("prometheus", "service medical-ai"): {8080},
        ("prometheus", "agent hot"): {9108},
        ("prometheus", "depot depot"): {9109},
        ("prometheus", "monitoring a100"): {9400},
        ("prometheus", "monitoring h100"): {9400},
    }
    # The broker and the storages stand outside, nobody says where: any address, on their port alone.
    for source, ports in {
        "service medical-ai": {8883}, "pool endoscopy": {8883}, "depot depot": {8883, 9000},
        "agent hot": {443}, "job seg3d": {443},
    }.items():  # fmt: skip
        rows |= {(source, target): set(ports) for target in open_targets}
        rows[source, "dns"] |= {53}
    assert matrix(site) == designed(rows, pods)


@pytest.mark.parametrize(("every", "asked"), [("10m", True), ("6h", False)])
def test_prometheus_reaches_agents_that_stay_and_no_cron_jobs(topology, every, asked):
    hot = {"agent": {"pool": "a100", "certificate": {"secret": "agent-tls"}}}
    site = topology(
        {
            "network": {"policies": {}},
            "monitoring": {"kind": "operator"},
            "tiers": {"hot": hot},
            "routes": {"checkpoints": {"every": every}},
        }
    )
    assert (("prometheus", "agent hot") in matrix(site)) is asked


def test_a_plugin_that_asks_the_api_server_reaches_it(topology):
    hot = {"pools": {"h100": {"gpu": {"share": "vgpu"}}}}
    site = topology({"network": {"policies": {}}, "tiers": {"hot": hot}})
    assert matrix(site)["device-plugin h100", "internet"] == {443, 6443}


def test_without_the_key_nothing_is_closed(hospital):
    assert not [each for each in render(hospital) if each.kind == "NetworkPolicy"]


def test_a_network_that_is_none_is_refused(topology):
    with pytest.raises(TopologyError) as caught:
        topology({"network": {"policies": {"clients": ["10.0.0.1/8"]}}})
    assert [problem.code for problem in caught.value.problems] == ["E0310"]
