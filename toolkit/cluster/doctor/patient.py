"""What a cluster says of itself, each thing asked once. First step of `doctor`; every check reads from here.

Deployments and DaemonSets are told apart by the names of their images: charts call them differently, images are always
called the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.pull import CRDS
from toolkit.cluster.refusal import NOT_FOUND, RefusedError
from toolkit.cluster.request import NAMES_ONLY, Connection, Json
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.pod_templates import pod_templates
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import PlacedPool, Topology

_TAG = re.compile(r":v?(\d+)\.(\d+)(?:\.(\d+))?[^:/]*$")
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")

Version = tuple[int, int, int]


def version_of(written: str) -> Version | None:
    """Read the first version in a text: v1.35.3+k3s1 is 1.35.3."""
    found = _NUMBERS.search(written)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def tag_of(image: str) -> Version | None:
    """Read the version in an image's tag; None for `latest`, a digest alone, or no tag."""
    found = _TAG.search(image.partition("@")[0])
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def shown(version: Sequence[int]) -> str:
    """Write a version."""
    return ".".join(map(str, version))


@dataclass(frozen=True)
class Part:
    """A Deployment or DaemonSet of somebody's, with the one image that it was found by."""

    kind: str
    namespace: str
    name: str
    image: str
    body: Mapping[str, object]

    @property
    def title(self) -> str:
        """How people call it."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def runs(self) -> bool:
        """Whether a pod of it is available."""
        status = mapping(self.body.get("status"))
        field_name = "numberAvailable" if self.kind == "DaemonSet" else "availableReplicas"
        return bool(status.get(field_name))


@dataclass
class Patient:
    """One cluster and what shall run in it."""

    connection: Connection
    topology: Topology
    objects: tuple[RenderedObject, ...]
    """What was rendered for this cluster, jobs too."""
    kinds: Kinds = field(init=False)

    def __post_init__(self) -> None:
        """Begin without any answer."""
        self.kinds = Kinds(self.connection)

    @cached_property
    def pools(self) -> tuple[PlacedPool, ...]:
        """The pools whose machines are nodes here."""
        return tuple(self.topology.pools_in(self.connection.cluster))

    @cached_property
    def kubernetes(self) -> str:
        """The API server's version as it writes it."""
        return text(self.connection.get("/version").get("gitVersion"))

    @cached_property
    def nodes(self) -> tuple[Json, ...]:
        """Every Node."""
        return tuple(list_all(self.kinds, self.kinds.resource("v1", "Node"), ""))

    @cached_property
    def crds(self) -> frozenset[str]:
        """Names of all CRDs."""
        names: set[str] = set()
        query = {"limit": "500"}
        while True:
            page = self.connection.send("GET", CRDS, query, accept=NAMES_ONLY)
            names |= {
                text(mapping(mapping(each).get("metadata")).get("name"))
                for each in sequence(page.get("items"))
            }
            token = text(mapping(page.get("metadata")).get("continue"))
            if not token:
                return frozenset(names)
            query["continue"] = token

    def crd(self, name: str) -> Mapping[str, object] | None:
        """Give one CRD; None when it is not installed. Raises RefusedError, UnreachableError."""
        return self.found(f"{CRDS}/{name}")

    def config_map(self, namespace: str, name: str) -> Mapping[str, object] | None:
        """Give a ConfigMap; None when it is not there. Raises RefusedError, UnreachableError."""
        return self.found(self.kinds.resource("v1", "ConfigMap").path(namespace, name))

    def found(self, path: str) -> Mapping[str, object] | None:
        """Read a document; None when it is not there. Raises RefusedError, UnreachableError."""
        try:
            return self.connection.get(path)
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def part(self, image: str) -> Part | None:
        """Find the Deployment or DaemonSet whose container runs an image of this name, such as vc-scheduler."""
        return next((each for each in self.parts if re.search(image, _name(each.image))), None)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every container of every Deployment and DaemonSet."""
        return tuple(self._parts())

    def _parts(self) -> Iterator[Part]:
        for kind in ("Deployment", "DaemonSet"):
            for body in list_all(self.kinds, self.kinds.resource("apps/v1", kind), ""):
                named = mapping(body.get("metadata"))
                for template in pod_templates(Document(body)):
                    for _, container in template.containers(init=False):
                        image = text(container.get("image"))
                        yield Part(kind, text(named.get("namespace")), text(named.get("name")), image, body)

    def needs(self, group: str) -> tuple[str, ...]:
        """Name what was rendered of an API group, in words: kind and name."""
        return tuple(
            f"{each.kind} {each.name}"
            for each in self.objects
            if each.api_version.rpartition("/")[0].endswith(group)
        )


def _name(image: str) -> str:
    """Give an image's name without registry, tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
