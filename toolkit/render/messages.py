"""A topology → KubeEdge's RuleEndpoints and Rules for small messages.

Between `kubeedge_objects` and the templates kubeedge/{ruleendpoint,rule}. The router knows three ways: an HTTP call to
a topic of the device that it names (rest → eventbus), one to an HTTP service there (rest → servicebus), and a topic of
one device to an address of the cloud (eventbus → rest); a rule of the last kind names its node, so there is one for
each device. Endpoints are shared by all messages of a namespace. KubeEdge's admission webhook, where it is on, takes
no change of a Rule: it has to be deleted and made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.per_device import name_on
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.message import Message
from toolkit.topology.topology import Topology

REST, EVENT_BUS = "tiers-rest", "tiers-eventbus"
"""Names of the endpoints that have no properties; a service's carries its port."""


@dataclass(frozen=True)
class RuleEndpointView:
    """What kubeedge/ruleendpoint.yaml.j2 names."""

    type: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class RuleView:
    """What kubeedge/rule.yaml.j2 names."""

    source: str
    source_resource: Mapping[str, str]
    target: str
    target_resource: Mapping[str, str]


def messages(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the rules of a cluster's messages and the endpoints that they name. Raises RenderError."""
    endpoints: dict[str, RuleEndpointView] = {}
    for name, message in topology.messages.items():
        for rule, device in _rules(topology, cluster, message):
            for endpoint in (rule.source, rule.target):
                endpoints.setdefault(endpoint, _endpoint(endpoint))
            metadata = Metadata(
                name_on(name, device) if device else name,
                owner_labels(topology.name, "message", name),
                topology.namespace(cluster),
            )
            body = fill("kubeedge/rule.yaml.j2", metadata, rule=rule)
            yield RenderedObject(cluster, f"messages.{name}", body)
    for endpoint, view in endpoints.items():
        metadata = Metadata(
            endpoint, owner_labels(topology.name, "topology", topology.name), topology.namespace(cluster)
        )
        body = fill("kubeedge/ruleendpoint.yaml.j2", metadata, endpoint=view)
        yield RenderedObject(cluster, "messages", body)


def _rules(topology: Topology, cluster: str, message: Message) -> Iterator[tuple[RuleView, str]]:
    """Give the rules of a message in a cluster, each with the device that it listens to, or none."""
    source, target = message.source, message.target
    edge = [placed for placed in topology.pools_in(cluster) if placed.tier_name == "edge"]
    if source.topic is not None and target.url is not None:
        heard = {
            node
            for placed in edge
            for node in placed.node_names
            if placed.name in source.pools or node in source.devices
        }
        for node in sorted(heard):
            listens = {"topic": source.topic, "node_name": node}
            yield RuleView(EVENT_BUS, listens, REST, {"resource": target.url}), node
    elif edge and source.path is not None and target.topic is not None:
        yield RuleView(REST, {"path": source.path}, EVENT_BUS, {"topic": target.topic}), ""
    elif edge and source.path is not None and target.path is not None:
        service = f"tiers-servicebus-{target.port}"
        yield RuleView(REST, {"path": source.path}, service, {"path": target.path}), ""


def _endpoint(name: str) -> RuleEndpointView:
    """Give an endpoint by its name: tiers-TYPE or tiers-TYPE-PORT."""
    _, kind, *port = name.split("-")
    return RuleEndpointView(kind, {"service_port": port[0]} if port else {})
