"""The way into a cluster: the context that tiers.yaml names, by the official client's reading of kubeconfig.

First step of every cluster command; `request.Connection` carries what comes after. Typed API classes stay out: the
first of them costs a second of CPU.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from toolkit.cluster.request import Connection, Login
from toolkit.errors import UnreachableError, UsageError
from toolkit.topology.topology import Topology

LOGIN_SECONDS = 5.0
"""How long the same Authorization header is sent before the official client is asked for it again."""
PARALLEL = 16
"""Connections to one server; more only adds waiting (API servers answer some 400 writes a second)."""


def cluster_of_context(topology: Topology, context: str) -> str:
    """Name the cluster of tiers.yaml that a context of the kubeconfig belongs to.

    Raises:
        UsageError: no cluster names this context, so nothing may be done in it.
    """
    for name, cluster in topology.clusters.items():
        if cluster.context == context:
            return name
    known = ", ".join(cluster.context for cluster in topology.clusters.values())
    raise UsageError(
        f"tiers.yaml names no cluster with the context '{context}'; it names {known}",
        hint=f"leave --context away, or add it under clusters: {{context: {context}}}",
    )


def connect(topology: Topology, cluster: str, kubeconfig: Path | None = None) -> Connection:
    """Open the way to a cluster of the topology. Nothing is sent yet.

    Args:
        topology: says which context a cluster has; whatever context is current in the kubeconfig does not count.
        cluster: its name in tiers.yaml.
        kubeconfig: default: what KUBECONFIG or the home folder give to every client.

    Raises:
        UsageError: the topology has no such cluster, or the kubeconfig no such context.
        UnreachableError: the kubeconfig cannot be read.
    """
    if cluster not in topology.clusters:
        raise UsageError(f"tiers.yaml has no cluster '{cluster}'", hint="tiers explain clusters")
    return connect_context(cluster, topology.clusters[cluster].context, kubeconfig)


def connect_context(cluster: str, context: str, kubeconfig: Path | None = None) -> Connection:
    """Open the way to a context, such as a plan names it. Nothing is sent yet.

    Args:
        cluster: what tiers.yaml calls it, for messages.
        context: of the kubeconfig.
        kubeconfig: default: what KUBECONFIG or the home folder give to every client.

    Raises:
        UsageError: the kubeconfig has no such context.
        UnreachableError: the kubeconfig cannot be read.
    """
    settings = client.Configuration()
    settings.connection_pool_maxsize = PARALLEL
    try:
        contexts, _ = config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
        if context not in {each["name"] for each in contexts}:
            known = ", ".join(str(each["name"]) for each in contexts) or "none"
            raise UsageError(
                f"the kubeconfig has no context '{context}', that of the cluster {cluster} (it has {known})",
                hint="kubectl config get-contexts",
            )
        config.load_kube_config(
            str(kubeconfig) if kubeconfig else None,
            context,
            client_configuration=settings,
            persist_config=False,
        )
    except (ConfigException, OSError) as exc:
        raise UnreachableError(
            f"no usable kubeconfig for the cluster '{cluster}': {exc}",
            hint="set KUBECONFIG, or add --kubeconfig FILE",
        ) from exc
    api = client.ApiClient(settings)
    return Connection(cluster, context, settings.host, api.rest_client.pool_manager, _login(api))


def _login(api: client.ApiClient) -> Login:
    """Give what writes the Authorization header; the official client renews tokens inside it.

    It goes through its whole configuration for that, and changes it, so it is asked by one thread at a time and not for
    every request. It renews a token minutes before the end, so one that is a few seconds old is still good.
    """
    lock, held = threading.Lock(), dict[str, str]()
    asked = -LOGIN_SECONDS

    def headers() -> dict[str, str]:
        nonlocal asked, held
        with lock:
            if time.monotonic() - asked >= LOGIN_SECONDS:
                held = {}
                api.update_params_for_auth(held, [], ["BearerToken"], "", "", None)
                asked = time.monotonic()
            return held

    return headers
