"""Dashboards of a topology: ConfigMaps that Grafana's sidecar finds, or files for a Grafana of one's own.

Between `grafana` and render's list of parts. The sidecar of Grafana's chart loads what is labelled `grafana_dashboard`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from string import Template
from typing import Final

import msgspec

from toolkit.placement import DEFAULT_QUEUE, cluster_wide_name, fitted_name
from toolkit.render.dashboards.description import Dashboard
from toolkit.render.dashboards.fleet import FLEET
from toolkit.render.dashboards.grafana import to_grafana
from toolkit.render.dashboards.jobs import JOBS
from toolkit.render.dashboards.model_page import MODEL
from toolkit.render.dashboards.sync import SYNC
from toolkit.render.dashboards.tier import TIER
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.monitoring.labels import ours
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.topology import Topology

DASHBOARDS: Final = (FLEET, TIER, MODEL, JOBS, SYNC)
"""All of them, in the order of Grafana's list."""
SIDECAR_LABEL: Final = "grafana_dashboard"
_HASH_LENGTH = 8


def dashboard_files(topology: Topology) -> Iterator[tuple[str, str]]:
    """Give name and text of the JSON file of each dashboard."""
    for each in DASHBOARDS:
        model = to_grafana(for_topology(each, topology), _uid(topology, each), topology.name)
        yield f"{each.name}.json", msgspec.json.format(msgspec.json.encode(model), indent=2).decode() + "\n"


def dashboards(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give a ConfigMap for each dashboard, where `monitoring.dashboards` wants them and there is an operator.

    Raises:
        RenderError: a template and a noun do not fit.
    """
    monitoring = topology.monitoring
    if monitoring is None or monitoring.kind != "operator" or not monitoring.dashboards:
        return
    namespace = monitoring.namespace or topology.namespace(cluster)
    for name, text in dashboard_files(topology):
        labels = owner_labels(topology.name, "monitoring", "monitoring") | {SIDECAR_LABEL: "1"}
        metadata = Metadata(
            fitted_name(topology.name, "dashboard", name.partition(".")[0]), labels, namespace
        )
        view = ConfigMapView({f"{topology.name}-{name}": text})
        body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=view)
        yield RenderedObject(cluster, "monitoring.dashboards", body)


def for_topology(dashboard: Dashboard, topology: Topology) -> Dashboard:
    """Fill in the topology's name and queues."""
    queues = sorted(cluster_wide_name(topology, name) for name in topology.queues)
    filling = {"ours": ours(topology.name), "queues": "|".join(queues) or DEFAULT_QUEUE}
    rows = tuple(
        dataclasses.replace(
            row,
            panels=tuple(
                dataclasses.replace(
                    panel,
                    queries=tuple(
                        dataclasses.replace(query, expr=Template(query.expr).safe_substitute(filling))
                        for query in panel.queries
                    ),
                )
                for panel in row.panels
            ),
        )
        for row in dashboard.rows
    )
    return dataclasses.replace(dashboard, title=f"{topology.name}: {dashboard.title}", rows=rows)


def _uid(topology: Topology, dashboard: Dashboard) -> str:
    """Make an id of at most 40 characters, as Grafana takes them, that stays when the title changes."""
    digest = hashlib.sha256(topology.name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"tiers-{digest}-{dashboard.name}"
