"""Who watches: the Prometheus operator or a plain Prometheus, and who is told.

Stands under topology; render writes rules, scrape targets and Alertmanager's file for it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from toolkit.topology.names import Image, LabelKey, LabelValue, Name, WebUrl
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret
from toolkit.topology.units import Duration

Severity = Literal["critical", "warning", "info"]
"""critical: at night; warning: today; info: good to know."""
EVERY_SEVERITY: tuple[Severity, ...] = ("critical", "warning", "info")


class Receiver(Noun):
    """Somebody who is told, through a webhook (Alertmanager's JSON). Exactly one of `url` and `url_from`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["url_from"]}]}
    )

    url: WebUrl | None = None
    """Address, when it holds no secret."""
    url_from: Secret | None = None
    """Where the address is kept, when it is a secret itself (Alertmanager 0.26 or newer)."""
    token: Secret | None = None
    """Where the token is kept that goes with each message (Authorization: Bearer)."""
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = EVERY_SEVERITY
    """Which alerts it gets."""


class Notify(Noun):
    """How messages are gathered."""

    wait: Duration = Duration.parse("30s")
    """Time to gather alerts of one kind and pool before the first message."""
    interval: Duration = Duration.parse("5m")
    """Least time between two messages about the same kind and pool."""
    repeat: Duration = Duration.parse("4h")
    """Time after which an alert that goes on is told again."""


class DeviceTargets(Noun):
    """How Prometheus reaches the daemons on devices: SCHEME://NAME.DOMAIN:PORT/metrics."""

    scheme: Literal["http", "https"] = "https"
    """The daemon itself answers on loopback only; what a TLS proxy on the device makes of it is https."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8500
    """TCP port on each device."""
    domain: str = ""
    """What follows the device's name, such as edge.hospital.example; nothing means the name alone."""
    ca: Secret | None = None
    """Certificate of the authority that signed the devices'; nothing means the system's."""
    token: Secret | None = None
    """Token that goes with each question."""


class Monitoring(Noun):
    """Which Prometheus, how it finds our rules, and who is told."""

    kind: Literal["operator", "prometheus"]
    """Objects for the Prometheus operator, or files for a plain Prometheus (tiers render --monitoring DIR)."""
    url: WebUrl | None = None
    """Address at which autoscalers ask Prometheus."""
    token: Secret | None = None
    """Token with which autoscalers ask it (Authorization: Bearer): {secret: NAME/KEY}, in the services' namespace."""
    namespace: Name | None = None
    """Namespace of the operator's objects; default: the topology's, where those of services always are."""
    labels: Mapping[LabelKey, LabelValue] = {}
    """Labels by which the operator selects rules and monitors, such as release: prometheus."""
    interval: Duration = Duration.parse("15s")
    """Time between two questions to the same target, and between two evaluations of the rules; at most 1m."""
    honor_labels: bool = False
    """Whether an exporter's `pod` and `namespace` beat those of the exporter itself, as some sites have it for DCGM."""
    exporter: Image = "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless"
    """Image of NVIDIA's DCGM exporter, which gives the figures of servers' GPUs; another place for a site's mirror."""
    devices: DeviceTargets | None = None
    """How devices are asked; nothing means that they are not, and that there are no alerts about single devices."""
    discovery: Literal["file", "kubernetes"] = "file"
    """How a plain Prometheus finds what it asks: devices by a list of files, and with `kubernetes` pods by the API."""
    alertmanager: WebUrl | None = None
    """Where a plain Prometheus sends its alerts; the operator knows that itself."""
    receivers: Mapping[Name, Receiver] = {}
    """Who is told; nobody means that alerts show in Alertmanager only."""
    notify: Notify = Notify()
    """How messages are gathered."""
    dashboards: bool = False
    """Whether the operator's objects hold dashboards for Grafana's sidecar; as files: tiers render --dashboards DIR."""
    runbooks: WebUrl | None = None
    """Where your copy of docs/reference is served; alerts then link to their page."""

    @property
    def asks_pods(self) -> bool:
        """Whether Prometheus finds pods of the cluster: the operator does; Debian's program, say, cannot."""
        return self.kind == "operator" or self.discovery == "kubernetes"
