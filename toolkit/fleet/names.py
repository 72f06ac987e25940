"""Which names may have a certificate: devices and services of tiers.yaml, our programs, and the broker itself.

Between topology and `enroll`. A role's name has a colon, which no device's has, so no device can be called like one.
"""

from __future__ import annotations

from difflib import get_close_matches
from urllib.parse import urlsplit

from toolkit.errors import UsageError
from toolkit.render.broker import NAME as BROKER_SERVICE
from toolkit.render.broker_topics import roles
from toolkit.topology.topology import Topology

BROKER = "tiers:broker"
"""Common name of the broker's own certificate; it is a server's, so nobody can connect with it."""


def devices_of(topology: Topology) -> frozenset[str]:
    """Give who is a device to the fleet: machines of edge, and services."""
    names = {name for placed in topology.pools_of("edge") for name in placed.node_names}
    return frozenset(names | set(topology.services))


def known_name(topology: Topology, name: str) -> str:
    """Return a name that may have a certificate.

    Raises:
        UsageError: tiers.yaml does not know it.
    """
    devices, programs = devices_of(topology), [BROKER, *(role.name for role in roles(topology.name))]
    if name in devices or name in programs:
        return name
    near = get_close_matches(name, [*sorted(devices), *programs], n=1)
    raise UsageError(
        f"{name[:80]!r} is no device or service of tiers.yaml"
        + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"add it to a pool of edge; the cloud's side is called {', '.join(programs)}",
    )


def hosts_of(topology: Topology) -> tuple[str, ...]:
    """Give the names that the broker is reached by: the host of broker.url, and in the cluster that of its Service."""
    host = urlsplit(topology.broker.url).hostname or ""
    deploy = topology.broker.deploy
    if deploy is None:
        return (host,)
    cluster = topology.cluster_of(topology.pool(deploy.pool))
    return (host, f"{BROKER_SERVICE}.{topology.namespace(cluster)}.svc")
