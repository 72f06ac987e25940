"""The depot, which hands models to devices, and the driver, which steers rollouts, as programs in the cluster.

Stand under topology; render makes Deployments of them. Without them somebody runs the two commands by hand.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.names import Name, WebUrl
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret
from toolkit.topology.units import Bytes, Rate


class HttpRoad(Noun):
    """A second road for the same chunks: ranges over HTTP, taken by devices when it is faster."""

    url: WebUrl
    """Where devices fetch, https://HOST:PORT: the depot itself, or a web server that shows what `tiers model export`
    has written."""
    clients: Secret | None = None
    """Authority that signs the devices' certificates; with it the depot answers, at port 8443 of its pods. Nothing
    leaves it to another server."""
    revoked: Secret | None = None
    """Secret with that authority's list of revoked certificates; nothing means that none is looked at."""
    expose: Literal["load-balancer", "node-port", "cluster"] = "load-balancer"
    """How devices reach the depot: an address of its own, a port of every machine, or not at all from outside."""
    node_port: Annotated[int, Field(ge=30000, le=32767)] | None = None
    """The port of every machine, with expose: node-port; nothing lets the cluster choose."""
    prefer: Literal["auto", "http", "mqtt"] = "auto"
    """Which road a device takes first; auto probes both once in each deployment."""


class Depot(Noun):
    """Serves models from the registry; several share the work."""

    pool: Name
    """Pool whose machines may run it; a registry that is a folder must be on these machines."""
    keyring: Secret
    """Whose models and rollouts count: the keyring.json of `tiers model keygen`."""
    identity: Secret | None = None
    """Secret of the type kubernetes.io/tls with its certificate for the broker, in the name tiers:depot."""
    certificate: Secret | None = None
    """Secret of the type kubernetes.io/tls for tiers-depot.NAMESPACE, by which Prometheus asks it; without it, it is
    not asked. Devices that fetch over HTTP see it too, so it has that name as well."""
    replicas: Annotated[int, Field(ge=1, le=32)] = 1
    """How many there are."""
    rate: Rate | None = None
    """Most that one of them sends to all devices together; nothing means no limit."""
    device_rate: Rate | None = None
    """Most that one of them sends to one device; nothing means no limit."""
    http: HttpRoad | None = None
    """The second road; nothing leaves everything to the broker."""
    broadcast: Rate | None = None
    """Pace of the stream that devices share which fetch the same artifact at once; nothing streams never."""
    memory: Bytes = Bytes.parse("1GiB")
    """Most memory that one of them may take."""
    vertical: bool = False
    """Whether a VerticalPodAutoscaler fits what it asks for to what it uses."""


class Driver(Noun):
    """Steers rollouts; one acts, others stand by."""

    pool: Name
    """Pool whose machines may run it."""
    key: Secret
    """The operator's private key, which seals what devices shall run: {secret: NAME/KEY}; default key: operator.pem."""
    keyring: Secret
    """Whose rollouts count: the keyring.json of `tiers model keygen`."""
    identity: Secret | None = None
    """Secret of the type kubernetes.io/tls with its certificate for the broker, in the name tiers:driver."""
    certificate: Secret | None = None
    """Secret of the type kubernetes.io/tls for tiers-driver.NAMESPACE, by which Prometheus asks it; without it, it is
    not asked."""
    replicas: Annotated[int, Field(ge=1, le=3)] = 1
    """How many there are; one acts, and another takes over a minute after it has fallen silent."""
    memory: Bytes = Bytes.parse("512MiB")
    """Most memory that one of them may take."""
