"""apiVersion and kind → the path of the API. What we render is known here; all else is asked once a group-version.

Used by `diff`, `apply`, `wait` and `status` for every URL. Nothing is written to disk, so there is no cache to poison.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.cluster.refusal import NOT_FOUND, RefusedError
from toolkit.cluster.request import Connection
from toolkit.errors import ClusterError


@dataclass(frozen=True)
class Resource:
    """A kind as the API serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Give the path of one object, of all in a namespace, or (without either) of all."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "")


_BUILT_IN = (
    Resource("v1", "Namespace", "namespaces", namespaced=False),
    Resource("v1", "Node", "nodes", namespaced=False),
    Resource("v1", "Pod", "pods", namespaced=True),
    Resource("v1", "Event", "events", namespaced=True),
    Resource("v1", "ConfigMap", "configmaps", namespaced=True),
    Resource("v1", "Secret", "secrets", namespaced=True),
    Resource("v1", "Service", "services", namespaced=True),
    Resource("v1", "ServiceAccount", "serviceaccounts", namespaced=True),
    Resource("v1", "ResourceQuota", "resourcequotas", namespaced=True),
    Resource("apps/v1", "DaemonSet", "daemonsets", namespaced=True),
    Resource("apps/v1", "Deployment", "deployments", namespaced=True),
    Resource("apps/v1", "StatefulSet", "statefulsets", namespaced=True),
    Resource("batch/v1", "Job", "jobs", namespaced=True),
    Resource("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False),
)
_KNOWN = {(each.api_version, each.kind): each for each in _BUILT_IN}


@dataclass
class Kinds:
    """What a server can do; for many threads at once."""

    connection: Connection
    _found: dict[tuple[str, str], Resource] = field(default_factory=lambda: dict(_KNOWN))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def resource(self, api_version: str, kind: str) -> Resource:
        """Find a kind.

        Raises:
            ClusterError: the server does not have it, mostly because a CRD is not installed.
            UnreachableError: it does not answer.
        """
        with self._lock:
            if (api_version, kind) not in self._found:
                self._ask(api_version)
            found = self._found.get((api_version, kind))
        if found is None:
            raise ClusterError(
                f"the cluster '{self.connection.cluster}' has no kind {kind} in {api_version}",
                hint=f"install what brings it ({_brings(api_version)}), then repeat",
            )
        return found

    def of_group(self, kind: str, group: str) -> Resource | None:
        """Find a kind of which only the group is known: in the version that the server prefers.

        Returns:
            None when the server does not have it any more, and so no object of it either.

        Raises:
            UnreachableError: it does not answer.
        """
        with self._lock:
            for known in self._found.values():
                if known.kind == kind and group_of(known.api_version) == group:
                    return known
        version = self._preferred(group) if group else "v1"
        if not version:
            return None
        with self._lock:
            self._ask(version)
            return self._found.get((version, kind))

    def _preferred(self, group: str) -> str:
        """Ask for the version of a group that the server prefers; empty when it has no such group."""
        try:
            preferred = self.connection.get(f"/apis/{group}").get("preferredVersion")
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return ""
            raise
        return str(preferred.get("groupVersion")) if isinstance(preferred, Mapping) else ""

    def _ask(self, api_version: str) -> None:
        root = "apis" if "/" in api_version else "api"
        try:
            listed = self.connection.get(f"/{root}/{api_version}").get("resources")
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return
            raise
        for each in listed if isinstance(listed, list) else []:
            if isinstance(each, Mapping) and "/" not in str(each.get("name")):
                found = Resource(
                    api_version, str(each["kind"]), str(each["name"]), namespaced=bool(each.get("namespaced"))
                )
                self._found[api_version, found.kind] = found


def group_of(api_version: str) -> str:
    """Give the group of an apiVersion; the core group has no name."""
    return api_version.rpartition("/")[0]


def _brings(api_version: str) -> str:
    group = api_version.partition("/")[0]
    if group.endswith("volcano.sh"):
        return "Volcano's chart"
    return "KubeEdge's cloud part" if group.endswith("kubeedge.io") else f"the operator of {group}"
