"""A service: inference servers on the hot or warm tier, and when there are more of them.

Stands under topology; render makes a Deployment, a Service and an autoscaler of it.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.clock import Days, TimeOfDay
from toolkit.topology.names import Name, WebUrl
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret
from toolkit.topology.units import Duration, Percent


class Replicas(Noun):
    """How many servers there may be."""

    min: Annotated[int, Field(ge=0)] = 1
    """Fewest."""
    max: Annotated[int, Field(ge=1)] = 1
    """Most."""


class GpuThreshold(Noun):
    """Use of the GPU, averaged over the servers."""

    out: Percent
    """Above this there are more servers."""
    back: Percent | None = Field(None, alias="in")
    """Below this there are fewer; nothing means half of `out`."""


class CountThreshold(Noun):
    """A number of waiting requests."""

    out: Annotated[int, Field(ge=1)]
    """Above this there are more servers."""
    back: Annotated[int, Field(ge=0)] | None = Field(None, alias="in")
    """Below this there are fewer; nothing means that it does not count for fewer."""


class DurationThreshold(Noun):
    """A time to answer."""

    out: Duration
    """Above this there are more servers."""


class PercentThreshold(Noun):
    """A share of failed requests."""

    out: Percent
    """Above this there are more servers."""


class Peak(Noun):
    """Hours in which there are always enough servers."""

    days: Days
    """Days of the week on which it starts."""
    opens: TimeOfDay = Field(alias="from")
    """Start."""
    closes: TimeOfDay = Field(alias="to")
    """End; one before `from` is on the next day."""
    at_least: Annotated[int, Field(ge=1)]
    """Fewest servers in these hours."""


class Scale(Noun):
    """When there are more servers, and when fewer."""

    gpu: GpuThreshold | None = None
    """Use of the GPU."""
    queue: CountThreshold | None = None
    """Waiting requests of one server."""
    p95: DurationThreshold | None = None
    """Time within which 95 of 100 requests are answered."""
    errors: PercentThreshold | None = None
    """Failed requests among all."""
    peaks: tuple[Peak, ...] = ()
    """Hours with more servers."""
    timezone: str = "UTC"
    """Time zone of the peaks, such as Europe/Berlin."""
    ahead: Duration = Duration(20 * 60 * 1000)
    """How long before a peak its servers start, so that their models are loaded when it begins."""
    predict: Literal["last_week"] | None = None
    """Fewest servers also by what the same hour of last week needed; nothing means not."""
    by: Literal["keda", "hpa"] = "keda"
    """Who scales: KEDA, or a plain HorizontalPodAutoscaler, which knows no hours and needs a metrics adapter."""

    @property
    def measures(self) -> bool:
        """Whether it goes by something that Prometheus has to tell."""
        return any((self.gpu, self.queue, self.p95, self.errors, self.predict))


class Service(Noun):
    """Inference servers that answer for models."""

    pool: Name
    """Pool whose machines run them; not an edge pool, there the daemon serves."""
    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Models that they serve."""
    replicas: Replicas = Replicas()
    """How many there may be."""
    gpus_per_replica: Annotated[int, Field(ge=0)] = 1
    """GPUs of one server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """TCP port of the Open Inference Protocol, over TLS."""
    url: Annotated[WebUrl, Field(pattern="^https://")] | None = None
    """Address at which devices reach it for what they offload; nothing means its name in the cluster, which devices
    find where the cluster's network reaches them (EdgeMesh)."""
    client_ca: Secret | None = None
    """Authority whose certificates clients may show instead of a token: {secret: NAME/ca.crt}."""
    address: Literal["0.0.0.0", "::"] = "0.0.0.0"  # noqa: S104 -- of a pod; it takes TLS and a token
    """Address that servers listen on; `::` in a cluster whose pods have IPv6 addresses only."""
    scale: Scale | None = None
    """When there are more; nothing means `replicas.min` always."""
    vertical: bool = False
    """Whether a VerticalPodAutoscaler fits requests of CPU and memory to what servers use; GPUs never change."""
