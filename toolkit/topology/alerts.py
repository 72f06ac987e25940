"""When somebody is called: the limits behind the alert rules.

Stands under topology; render makes Prometheus rules of it.
"""

from typing import Annotated

from pydantic import Field

from toolkit.topology.noun import Noun
from toolkit.topology.units import Duration, Percent


class Alerts(Noun):
    """Limits; a limit that is not written makes no alert. What needs no limit (ECC errors, …) is always watched."""

    p99: Duration | None = None
    """Time within which 99 of 100 requests are answered."""
    gpu_memory: Percent | None = None
    """Used memory of a GPU."""
    load_failures: Percent | None = None
    """Model loads that failed, among all."""
    queue: Annotated[int, Field(ge=1)] | None = None
    """Waiting requests of one device or server."""
    node_offline: Duration | None = None
    """How long a device may be silent."""
    after: Duration = Duration.parse("1m")
    """How long p99, gpu_memory or queue must be passed before somebody is called."""
