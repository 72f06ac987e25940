"""NetworkPolicies: everything in the namespace is closed, then each part gets exactly the flows that it was made for.

Between topology.network and the template kubernetes/networkpolicy.yaml.j2; `flows` says which flows there are:

    clients → services            devices, services, depot, driver → broker      agents, depot, gangs → their storages
    Prometheus → metrics          workers of one gang → each other               all → the cluster's DNS
    Volcano's vGPU plugin → the API server

What policies do not govern: pods in the host's network, such as the daemons of devices that serve models; folders and
NFS volumes, which the machine mounts; and NCCL over InfiniBand or RoCE, which passes the pod's network by. Volcano's
own policy for a gang (plugin svc) allows the same workers to come in; ours lets them out as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import fitted_name
from toolkit.render.flows import Namespace, Networks, Part, flows
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.topology import Topology

End = Part | Networks | Namespace
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
SOURCE = "network.policies"
NOUN = "network"
CLUSTER_DNS = {
    "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
_DNS_PORT = 53


@dataclass(frozen=True)
class NetworkPolicyView:
    """What kubernetes/networkpolicy.yaml.j2 names."""

    selector: Mapping[str, object]
    types: list[str]
    ingress: list[dict[str, object]]
    egress: list[dict[str, object]]


def network_policies(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the policies of a cluster, none when tiers.yaml asks for none.

    Raises:
        UsageError, IntegrityError: as `flows.flows`.
    """
    policies = topology.network.policies
    if policies is None:
        return
    everybody: dict[str, object] = {}
    closed = NetworkPolicyView(everybody, ["Ingress", "Egress"], [], [])
    yield _policy(topology, cluster, "tiers-closed", closed)
    names = [{"to": [CLUSTER_DNS], "ports": [_port(_DNS_PORT, "UDP"), _port(_DNS_PORT)]}]
    yield _policy(topology, cluster, "tiers-dns", NetworkPolicyView(everybody, ["Egress"], [], names))
    known = flows(topology, cluster, policies)
    parts = {end for flow in known for end in (flow.source, flow.target) if isinstance(end, Part)}
    for part in sorted(parts, key=lambda each: each.name):
        view = NetworkPolicyView(
            selector=_selector(part),
            types=["Ingress", "Egress"],
            ingress=_rules("from", [(flow.source, flow.ports) for flow in known if flow.target == part]),
            egress=_rules("to", [(flow.target, flow.ports) for flow in known if flow.source == part]),
        )
        yield _policy(topology, cluster, fitted_name("tiers", part.name), view)


def _policy(topology: Topology, cluster: str, name: str, view: NetworkPolicyView) -> RenderedObject:
    labels = owner_labels(topology.name, NOUN, "policies")
    metadata = Metadata(name, labels, topology.namespace(cluster))
    return RenderedObject(cluster, SOURCE, fill("kubernetes/networkpolicy.yaml.j2", metadata, policy=view))


def _rules(key: str, ends: list[tuple[End, tuple[int, ...]]]) -> list[dict[str, object]]:
    """Write rules: one for each set of ports, and one of its own for whoever may be anywhere."""
    rules: list[dict[str, object]] = []
    for ports in sorted({ports for _, ports in ends}):
        listed = {"ports": [_port(port) for port in ports]} if ports else {}
        peers = [_peers(end) for end, theirs in ends if theirs == ports]
        if [] in peers:
            rules.append(dict(listed))
        named = [peer for each in peers for peer in each]
        if named:
            rules.append({key: named, **listed})
    return rules


def _peers(end: End) -> list[dict[str, object]]:
    """Write an end as peers; no peers mean anybody."""
    if isinstance(end, Part):
        return [{"podSelector": _selector(end)}]
    if isinstance(end, Namespace):
        return [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: end.name}}}]
    return [{"ipBlock": {"cidr": cidr}} for cidr in end.cidrs]


def _selector(part: Part) -> dict[str, object]:
    return {"matchLabels": dict(part.labels)}


def _port(number: int, protocol: str = "TCP") -> dict[str, object]:
    return {"protocol": protocol, "port": number}
