"""Which objects are ours: the ApplySet of a topology in one cluster. Pure; `live` reads by it, `parent` keeps it.

Format: ApplySet of Kubernetes (KEP-3659, as kubectl 1.30 and newer write it). Every member carries the label part-of
with the set's id. The parent, a ConfigMap, says which tool keeps the set and which kinds and namespaces it has, so that
a member is found also when its kind is not rendered any more.

The label is put on here and not by `render`: what is rendered does not depend on where it is applied. What is
submitted (jobs) is never a member, so nothing here ever deletes it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from toolkit.cluster.kinds import group_of
from toolkit.errors import ClusterError
from toolkit.render.metadata import TOPOLOGY_LABEL, owner_labels
from toolkit.render.rendered import RenderedObject

PART_OF_LABEL = "applyset.kubernetes.io/part-of"
ID_LABEL = "applyset.kubernetes.io/id"
TOOLING_ANNOTATION = "applyset.kubernetes.io/tooling"
KINDS_ANNOTATION = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES_ANNOTATION = "applyset.kubernetes.io/additional-namespaces"
TOOL = "tiers"
REVISION, PART = "revision", "part"
"""Nouns of what is kept about a topology beside its objects (`history`)."""


@dataclass(frozen=True)
class Contents:
    """Where members may be: kinds as `DaemonSet.apps` (core kinds have no group), namespaces beside the parent's."""

    kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: Contents) -> Contents:
        """Give what covers both."""
        return Contents(self.kinds | other.kinds, self.namespaces | other.namespaces)


@dataclass(frozen=True)
class ApplySet:
    """The set of a topology in one cluster; its parent is the ConfigMap `name` in `namespace`."""

    topology: str
    namespace: str

    @property
    def name(self) -> str:
        """Name of the parent; no rendered name has a dot, so it meets none of them."""
        return f"{TOOL}.{self.topology}"

    @property
    def id(self) -> str:
        """The id, by the rule of the format: a hash of name, namespace, kind and group of the parent."""
        return id_of(self.name, self.namespace, "ConfigMap", "")

    def member(self, rendered: RenderedObject) -> RenderedObject:
        """Give an object with the label of the set; what is submitted stays as it is."""
        if rendered.submitted:
            return rendered
        metadata = rendered.body["metadata"]
        described = dict(metadata) if isinstance(metadata, Mapping) else {}
        described["labels"] = {**described.get("labels", {}), PART_OF_LABEL: self.id}
        return replace(rendered, body={**rendered.body, "metadata": described})

    def contents(self, members: Iterable[tuple[str, str, str]]) -> Contents:
        """Say where members are, each given as apiVersion, kind and namespace."""
        kinds, namespaces = set(), set()
        for api_version, kind, namespace in members:
            group = group_of(api_version)
            kinds.add(f"{kind}.{group}" if group else kind)
            namespaces.add(namespace)
        return Contents(frozenset(kinds), frozenset(namespaces) - {"", self.namespace})

    def parent(self, contents: Contents, version: str) -> dict[str, object]:
        """Give the parent as it is written by a version of tiers."""
        labels = owner_labels(self.topology, "topology", self.topology) | {ID_LABEL: self.id}
        annotations = {
            TOOLING_ANNOTATION: f"{TOOL}/{version}",
            KINDS_ANNOTATION: ",".join(sorted(contents.kinds)),
            NAMESPACES_ANNOTATION: ",".join(sorted(contents.namespaces)),
        }
        metadata = {
            "name": self.name, "namespace": self.namespace, "labels": labels, "annotations": annotations,
        }  # fmt: skip
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    def read_parent(self, body: Mapping[str, object]) -> Contents:
        """Read where members may be from the live parent.

        Raises:
            ClusterError: it is not ours: another tool keeps it, or it is no parent at all.
        """
        tool, _, _ = annotations_of(body).get(TOOLING_ANNOTATION, "").partition("/")
        known = labels_of(body).get(ID_LABEL)
        if tool != TOOL or known != self.id:
            raise ClusterError(
                f"the ConfigMap {self.namespace}/{self.name} is not the record of what tiers applied: "
                f"{TOOLING_ANNOTATION} is '{tool or 'not set'}', {ID_LABEL} is '{known or 'not set'}'",
                hint=f"who keeps it? kubectl get configmap -n {self.namespace} {self.name} -o yaml",
            )
        annotations = annotations_of(body)
        kinds, namespaces = (
            frozenset(filter(None, annotations.get(name, "").split(",")))
            for name in (KINDS_ANNOTATION, NAMESPACES_ANNOTATION)
        )
        return Contents(kinds, namespaces)

    def foreign(self, body: Mapping[str, object]) -> Foreign | None:
        """Tell whether a live object of a name that we want is somebody else's, and whose."""
        labels = labels_of(body)
        part, topology = labels.get(PART_OF_LABEL, self.id), labels.get(TOPOLOGY_LABEL, "")
        if part != self.id:
            whose = f" of the topology {topology}" if topology else ""
            return Foreign(f"it is a member of another set{whose} ({PART_OF_LABEL}={part})", adoptable=False)
        if topology not in {"", self.topology}:
            return Foreign(f"it belongs to the topology {topology}", adoptable=False)
        if topology or PART_OF_LABEL in labels:
            return None
        return Foreign("it exists already and carries none of our labels", adoptable=True)


@dataclass(frozen=True)
class Foreign:
    """Whose an object is that we did not make."""

    whose: str
    adoptable: bool
    """Whether nobody of ours has it, so that it can be taken over."""


def applyset_of(topology: str, cluster: str, objects: Iterable[RenderedObject]) -> ApplySet | None:
    """Give the set that rendered objects of a cluster make up: its parent lives in the Namespace among them.

    Returns:
        None when there is no Namespace: a part of a topology, such as one job, is no set.
    """
    for each in objects:
        if each.cluster == cluster and each.kind == "Namespace":
            return ApplySet(topology, each.name)
    return None


def id_of(name: str, namespace: str, kind: str, group: str) -> str:
    """Give the id of the set whose parent is this object: `applyset-<base64url(sha256(…))>-v1`, without padding."""
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.{group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def labels_of(body: Mapping[str, object]) -> Mapping[str, str]:
    """Give the labels of a live object."""
    return _texts(body, "labels")


def annotations_of(body: Mapping[str, object]) -> Mapping[str, str]:
    """Give the annotations of a live object."""
    return _texts(body, "annotations")


def _texts(body: Mapping[str, object], part: str) -> Mapping[str, str]:
    metadata = body.get("metadata")
    found = metadata.get(part) if isinstance(metadata, Mapping) else None
    return found if isinstance(found, Mapping) else {}
