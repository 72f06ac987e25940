"""Storages in a cluster: classes of volumes, claims, and how pods reach the storages that they work on.

Between topology.storage and the views of everybody who mounts one: `gang`, `job_template`, `sync_agents`, `depot`. A
storage is a folder of the machine, or a volume when it has a claim; a pod of ours sees it under the path that its
address names, so that one address means the same in tiers.yaml, in a task and in the pod. A login is mounted from its
Secret and stands in no other object.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.placement import LONGEST_NAME, cluster_wide_name, fitted_name
from toolkit.render.device import local_folders
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.render.worker_pod import Mount, secret_mount
from toolkit.routes import CREDENTIALS_FOLDER, KEY_IN_SECRET, KEYS_FOLDER
from toolkit.topology.storage import Claim, Storage, StorageClass, Volume
from toolkit.topology.topology import Topology

STORAGE_FOLDER = "/tiers/storage"
"""Where the pods of a job see the storage of its tier, when that is a folder of the machine."""
REGISTRY = "registry"
"""What claims of the registry are called after, as those of a tier are after the tier."""
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_BINDINGS = {"first-pod": "WaitForFirstConsumer", "at-once": "Immediate"}
_HASH_LENGTH = 8


@dataclass(frozen=True)
class StorageClassView:
    """What kubernetes/storageclass.yaml.j2 names."""

    provisioner: str
    parameters: Mapping[str, str]
    binding: str
    reclaim: str
    expandable: bool


@dataclass(frozen=True)
class ClaimView:
    """What kubernetes/persistentvolumeclaim.yaml.j2 names."""

    storage_class: str
    access: str
    size: str


@dataclass(frozen=True)
class PodVolume:
    """The volume of a pod spec that holds a storage."""

    kind: str
    """hostPath or persistentVolumeClaim."""
    source: Mapping[str, object]


def storages(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the claims of a cluster and the classes that they name, without those that the cluster has.

    Raises:
        RenderError: a template and a noun do not fit.
    """
    deploy = topology.broker.deploy
    used = {deploy.storage.kind} if deploy and _cluster_of(topology, deploy.pool) == cluster else set()
    for source, home, claim, path in _claims(topology, cluster):
        used.add(claim.kind)
        labels = owner_labels(topology.name, "storage", home)
        metadata = Metadata(claim_name(home, path), labels, topology.namespace(cluster))
        yield claim_object(topology, cluster, source, metadata, claim, claim.access)
    for name in sorted(used):
        each = topology.storage_classes[name]
        if each.installed is None:
            metadata = Metadata(
                cluster_wide_name(topology, name), owner_labels(topology.name, "storage-class", name)
            )
            body = fill("kubernetes/storageclass.yaml.j2", metadata, storage=_class_view(each))
            yield RenderedObject(cluster, f"storage_classes.{name}", body)


def claim_object(
    topology: Topology, cluster: str, source: str, metadata: Metadata, volume: Volume, access: str
) -> RenderedObject:
    """Give one PersistentVolumeClaim."""
    view = ClaimView(class_name(topology, volume.kind), access, memory_quantity(volume.size.count))
    body = fill("kubernetes/persistentvolumeclaim.yaml.j2", metadata, claim=view)
    return RenderedObject(cluster, source, body)


def class_name(topology: Topology, name: str) -> str:
    """Give the cluster's name of a class of `storage_classes`."""
    return topology.storage_classes[name].installed or cluster_wide_name(topology, name)


def claim_name(home: str, path: str) -> str:
    """Name a claim after its tier (or `registry`) and folder; it must never change, or the data would seem lost."""
    plain = re.sub("[^a-z0-9]+", "-", path.lower()).strip("-")
    # Folders that differ only in what a name cannot hold still differ.
    exact = re.fullmatch("(/[a-z0-9]+)+", path) is not None
    digest = hashlib.sha256(path.encode()).hexdigest()[:_HASH_LENGTH]
    return fitted_name("tiers", home, *([plain] if plain else []), *([] if exact else [digest]))[
        :LONGEST_NAME
    ]


def volume_of(home: str, storage: Storage) -> PodVolume | None:
    """Give the volume that holds a storage; None when it is no folder.

    Args:
        home: its tier, or `registry`.
        storage: as tiers.yaml has it.
    """
    folders = local_folders(storage.url)
    if not folders:
        return None
    if storage.claim is not None:
        return PodVolume("persistentVolumeClaim", {"claimName": claim_name(home, folders[0])})
    return PodVolume("hostPath", {"path": folders[0], "type": "Directory"})


def storage_mounts(kept: Iterable[tuple[str, Storage]], *, read_only: bool = False) -> Iterator[Mount]:
    """Give a mount for each storage that is a folder, and one for each Secret with a login or a key.

    Args:
        kept: storages with their tier or `registry`.
        read_only: whether the folders are.
    """
    folders: dict[str, Mount] = {}
    logins: dict[str, set[str | None]] = {}
    keys_of: dict[str, set[str]] = {}
    for home, storage in kept:
        volume = volume_of(home, storage)
        if volume is not None:
            (path,) = local_folders(storage.url)
            mount = Mount(f"storage-{len(folders)}", path, volume.kind, volume.source, read_only)
            folders.setdefault(path, mount)
        else:
            for each in (storage.credentials, storage.known_hosts, storage.ca):
                if each and each.name:
                    logins.setdefault(each.name, set()).add(each.key)
        if storage.key and storage.key.name:
            keys_of.setdefault(storage.key.name, set()).add(storage.key.key or KEY_IN_SECRET)
    yield from folders.values()
    for number, (secret, keys) in enumerate(logins.items()):
        # A storage that names no key means all of them.
        named = sorted(key for key in keys if key) if None not in keys else []
        yield secret_mount(f"login-{number}", secret, f"{CREDENTIALS_FOLDER}/{secret}", *named)
    for number, (secret, files) in enumerate(keys_of.items()):
        yield secret_mount(f"key-{number}", secret, f"{KEYS_FOLDER}/{secret}", *sorted(files))


def _claims(topology: Topology, cluster: str) -> Iterator[tuple[str, str, Claim, str]]:
    """Give source, tier, claim and folder of each storage with a claim that belongs to a cluster."""
    here = topology.tiers_in(cluster)
    for tier_name, tier in topology.tiers.items():
        for storage in tier.storage if tier_name in here else ():
            if storage.claim is not None:
                yield f"tiers.{tier_name}.storage", tier_name, storage.claim, urlsplit(storage.url).path
    yield from _registry_claim(topology, cluster)


def _registry_claim(topology: Topology, cluster: str) -> Iterator[tuple[str, str, Claim, str]]:
    depot, registry = topology.depot, topology.registry
    if registry.claim is not None and depot is not None and _cluster_of(topology, depot.pool) == cluster:
        yield REGISTRY, REGISTRY, registry.claim, urlsplit(registry.url).path


def _cluster_of(topology: Topology, pool: str) -> str:
    return topology.cluster_of(topology.pool(pool))


def _class_view(each: StorageClass) -> StorageClassView:
    return StorageClassView(
        provisioner=each.provisioner or NO_PROVISIONER,
        parameters=each.parameters,
        binding=_BINDINGS[each.binding],
        reclaim=each.on_delete.capitalize(),
        expandable=each.expandable,
    )
