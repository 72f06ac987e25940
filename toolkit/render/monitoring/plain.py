"""Monitoring as the files of a Prometheus without an operator, and of its Alertmanager: name of file → text.

Between `rules`, `scrape`, `notify` and `render.write`, which puts them into a folder. Valid for Prometheus 2.42 and
Alertmanager 0.25 (Debian 12): no labels or query_offset of groups, no scrape_protocols.

    prometheus.yml     what is asked, and where alerts go
    tiers-rules.yml    recording rules and alerts
    tiers-devices.yml  addresses of the devices, which Prometheus reads again when it changes (file_sd)
    alertmanager.yml   who is told

Devices come from the list. Pods come from Kubernetes' API with `discovery: kubernetes`, which Debian's Prometheus was
built without (in the cluster by itself; for several clusters with kubeconfig-CLUSTER beside prometheus.yml).
With the operator there are only the rules, for promtool, and alertmanager.yml, for the Secret that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from toolkit.errors import RenderError
from toolkit.render.monitoring.labels import CLUSTER, EDGE_JOB, NODE, POOL, TIER, TOPOLOGY
from toolkit.render.monitoring.notify import alertmanager_config, secret_file
from toolkit.render.monitoring.operator import rule_group
from toolkit.render.monitoring.rules import groups
from toolkit.render.monitoring.scrape import Access, Relabel, ScrapeJob, device_address, scrape_jobs
from toolkit.render.monitoring.times import scrape_timeout
from toolkit.render.stream import document_to_yaml
from toolkit.topology.monitoring import DeviceTargets, Monitoring
from toolkit.topology.topology import Topology

PROMETHEUS_FILE: Final = "prometheus.yml"
RULES_FILE: Final = "tiers-rules.yml"
DEVICES_FILE: Final = "tiers-devices.yml"
ALERTMANAGER_FILE: Final = "alertmanager.yml"
SECRETS: Final = "/etc/prometheus/secrets"
"""Where the Prometheus operator mounts Secrets; a plain Prometheus is given the same."""
_LABELS = re.compile(r"[./-]")
_PORTS: Final = {"http": 80, "https": 443}

Json = dict[str, object]


def monitoring_files(topology: Topology) -> dict[str, str]:
    """Give every file of a topology's monitoring, by name.

    Raises:
        RenderError: the topology has no key `monitoring`.
    """
    monitoring = topology.monitoring
    if monitoring is None:
        raise RenderError(
            "tiers.yaml has no key monitoring, so nobody watches", hint="add monitoring: {kind: prometheus}"
        )
    interval = str(monitoring.interval)
    rules = [rule_group(each, interval) for each in groups(topology, monitoring, topology.clusters)]
    files = {
        RULES_FILE: document_to_yaml({"groups": rules}),
        ALERTMANAGER_FILE: document_to_yaml(alertmanager_config(topology, monitoring)),
    }
    if monitoring.kind == "prometheus":
        files[PROMETHEUS_FILE] = document_to_yaml(_prometheus(topology, monitoring))
        if monitoring.devices is not None:
            files[DEVICES_FILE] = document_to_yaml(list(_device_groups(topology, monitoring.devices)))
    return files


def _prometheus(topology: Topology, monitoring: Monitoring) -> Json:
    config: Json = {
        "global": {
            "scrape_interval": str(monitoring.interval),
            "scrape_timeout": scrape_timeout(monitoring.interval),
            "evaluation_interval": str(monitoring.interval),
        },
        "rule_files": [RULES_FILE],
    }
    if monitoring.alertmanager is not None:
        config["alerting"] = {"alertmanagers": [_alertmanager(monitoring.alertmanager)]}
    pods = topology.clusters if monitoring.asks_pods else ()
    asked = [job for cluster in sorted(pods) for job in scrape_jobs(topology, monitoring, cluster)]
    config["scrape_configs"] = [
        *([_devices(monitoring.devices)] if monitoring.devices is not None else []),
        *(_pods(topology, job) for job in asked if job.job != EDGE_JOB),
    ]
    return config


def _alertmanager(address: str) -> Json:
    url = urlsplit(address)
    target = url.netloc if url.port else f"{url.netloc}:{_PORTS[url.scheme]}"
    written: Json = {"scheme": url.scheme, "static_configs": [{"targets": [target]}]}
    return written | ({"path_prefix": url.path} if url.path.strip("/") else {})


def _devices(targets: DeviceTargets) -> Json:
    """Write the job of the devices: their addresses and labels come from a file, their name from the address."""
    domain = re.escape(f".{targets.domain}") if targets.domain else ""
    node = Relabel(NODE, sources=("__address__",), regex=f"(.+){domain}:[0-9]+")
    return {
        "job_name": EDGE_JOB,
        **_access(Access(targets.scheme, targets.ca, targets.token)),
        "file_sd_configs": [{"files": [DEVICES_FILE]}],
        "relabel_configs": [_relabel(node)],
    }


def _device_groups(topology: Topology, targets: DeviceTargets) -> Iterator[Json]:
    for placed in sorted(
        topology.pools_of("edge") if "edge" in topology.tiers else (), key=lambda each: each.name
    ):
        yield {
            "targets": [device_address(targets, name) for name in sorted(placed.node_names)],
            "labels": {
                TOPOLOGY: topology.name,
                CLUSTER: topology.cluster_of(placed),
                TIER: "edge",
                POOL: placed.name,
            },
        }


def _pods(topology: Topology, job: ScrapeJob) -> Json:
    """Write the job of pods: Kubernetes' API names all of a namespace, relabelling keeps those that are meant."""
    discovery: Json = {"role": "pod", "namespaces": {"names": [job.namespace]}}
    if len(topology.clusters) > 1:
        discovery["kubeconfig_file"] = f"kubeconfig-{job.cluster}"
    keep: list[Json] = [
        {
            "source_labels": [f"__meta_kubernetes_pod_label_{_LABELS.sub('_', label)}"],
            "regex": value,
            "action": "keep",
        }
        for label, value in sorted(job.selector.items())
    ]
    keep.append(
        {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": job.port, "action": "keep"}
    )
    written: Json = {
        "job_name": f"{job.job}-{job.cluster}-{job.name}",
        **_access(job.access),
        "kubernetes_sd_configs": [discovery],
        "relabel_configs": [*keep, *(_relabel(each) for each in _with_pod(job))],
    }
    if job.metric_relabels:
        written["metric_relabel_configs"] = [_relabel(each) for each in job.metric_relabels]
    if job.honor_labels:
        written["honor_labels"] = True
    return written


def _with_pod(job: ScrapeJob) -> Iterator[Relabel]:
    """Add the labels that the operator attaches by itself: which pod of which namespace was asked."""
    yield from job.relabels
    yield Relabel("namespace", sources=("__meta_kubernetes_namespace",))
    yield Relabel("pod", sources=("__meta_kubernetes_pod_name",))


def _access(access: Access) -> Json:
    written: Json = {"scheme": access.scheme}
    tls: Json = {}
    if access.scheme == "https" and access.ca is not None:
        tls["ca_file"] = secret_file(access.ca, SECRETS, "ca.crt")
    if access.server_name:
        tls["server_name"] = access.server_name
    if tls:
        written["tls_config"] = tls
    if access.token is not None:
        written["authorization"] = {"credentials_file": secret_file(access.token, SECRETS, "token")}
    return written


def _relabel(each: Relabel) -> Json:
    if not each.sources:
        return {"target_label": each.target, "replacement": each.replacement}
    written: Json = {"source_labels": list(each.sources), "target_label": each.target}
    if each.regex != "(.*)":
        written["regex"] = each.regex
    return written | ({"replacement": each.replacement} if each.replacement != "$1" else {})
