"""Who watches: the Prometheus operator or a plain Prometheus.

Stands under topology; render writes rules and scrape targets for it.
"""

from collections.abc import Mapping
from typing import Literal

from toolkit.topology.names import LabelKey, LabelValue, Name, WebUrl
from toolkit.topology.noun import Noun


class Monitoring(Noun):
    """Which Prometheus, and how it finds our rules."""

    kind: Literal["operator", "prometheus"]
    """Objects for the Prometheus operator, or files for a plain Prometheus."""
    url: WebUrl | None = None
    """Address at which autoscalers ask Prometheus."""
    namespace: Name | None = None
    """Namespace of the operator's objects; default: the topology's."""
    labels: Mapping[LabelKey, LabelValue] = {}
    """Labels by which the operator selects rules and monitors, such as release: prometheus."""
