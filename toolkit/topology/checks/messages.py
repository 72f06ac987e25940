"""Rules about messages: KubeEdge's router knows three ways, takes small ones, and may lose any.

Called by `load` through checks.every. Sources: kubeedge/kubeedge v1.23.1 (cloud/pkg/router, the admission of rules).
"""

from collections.abc import Iterator

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import did_you_mean
from toolkit.topology.kubeedge_topics import owner_of
from toolkit.topology.message import Message, MessageSource
from toolkit.topology.nodes import Path

ROUTER_LIMIT = 12 * 2**20
"""Bytes of a message that the router takes (MaxBytesReader of its HTTP server)."""
SERVICE_LIMIT = 5 * 10**6
"""Bytes of a message to a service on a device (serviceBus)."""


def ways_are_ones_that_exist(site: Site) -> None:
    """E0828: one of the router's three ways; E0824, E0519: its devices are devices."""
    pools = site.pools()
    edge = {name: each for name, each in pools.items() if each.tier_name == "edge"}
    devices = {device for each in edge.values() for device in each.node_names}
    for name, message in site.sound("messages", site.topology.messages):
        path: Path = ("messages", name)
        wrong = _wrong_way(message)
        if wrong:
            site.report("E0828", path, f"{wrong} in the message '{name}'", key=True)
        for position, device in enumerate(message.source.devices):
            if device not in devices:
                said = f"there is no device '{device}'{did_you_mean(device, devices)}"
                site.report("E0824", (*path, "from", "devices", position), said)
        for position, pool in enumerate(message.source.pools):
            if pool in pools and pool not in edge:
                said = f"the pool '{pool}' is on the tier {pools[pool].tier_name} and has no devices"
                site.report("E0519", (*path, "from", "pools", position), said)


def _wrong_way(message: Message) -> str:
    """Say why a message has no way; empty when it has one."""
    source, target = message.source, message.target
    if (source.path is None) == (source.topic is None):
        return "'from' has not exactly one of path and topic"
    if sum(each is not None for each in (target.topic, target.path, target.url)) != 1:
        return "'to' has not exactly one of topic, path and url"
    if (target.port is None) != (target.path is None):
        return "a service on a device has both path and port, nothing else has a port"
    if source.topic is not None:
        if target.url is None:
            return "a message from a device goes to a url only"
        return "" if source.devices or source.pools else "no devices or pools to listen to"
    if source.devices or source.pools:
        return "the call names the device, so no devices or pools stand"
    return (
        "a message from the cloud goes to a topic or a service of a device" if target.url is not None else ""
    )


def topics_are_free(site: Site) -> None:
    """E0827: nobody else has the topic."""
    for name, message in site.sound("messages", site.topology.messages):
        for end, topic in (("from", message.source.topic), ("to", message.target.topic)):
            whose = owner_of(topic) if topic else ""
            if whose:
                site.report("E0827", ("messages", name, end, "topic"), f"the topic '{topic}' is {whose}")


def sizes_are_small(site: Site) -> None:
    """E0829: what the router, or a device's serviceBus, takes."""
    for name, message in site.sound("messages", site.topology.messages):
        limit = ROUTER_LIMIT if message.target.path is None else SERVICE_LIMIT
        if message.at_most is not None and message.at_most.count > limit:
            said = f"{message.at_most} is more than the {limit} bytes that can go this way"
            site.report("E0829", ("messages", name, "at_most"), said)


def sources_differ(site: Site) -> None:
    """E0830: KubeEdge knows a rule by its path, or by its topic and device."""
    first: dict[tuple[str, str], str] = {}
    for name, message in site.sound("messages", site.topology.messages):
        path: Path = ("messages", name, "from", "topic" if message.source.topic else "path")
        for key in _sources(site, message.source):
            if key in first and first[key] != name:
                here = f" on {key[1]}" if key[1] else ""
                site.report("E0830", path, f"'{key[0]}'{here} is also where '{first[key]}' comes from")
                break
            first.setdefault(key, name)


def _sources(site: Site, source: MessageSource) -> Iterator[tuple[str, str]]:
    """Give path or topic with the device it is on; a path is on no device."""
    if source.path:
        yield source.path, ""
    if source.topic:
        pools = site.pools()
        listed = (device for pool in source.pools if pool in pools for device in pools[pool].node_names)
        for device in dict.fromkeys((*source.devices, *listed)):
            yield source.topic, device


def losses_are_noted(site: Site) -> None:
    """W0832: whoever sends this way has to know what it is."""
    for name, message in site.sound("messages", site.topology.messages):
        if not message.may_be_lost:
            said = f"'{name}' may get lost, and anybody on CloudCore's network can read and send it"
            site.report("W0832", ("messages", name), said, key=True)
