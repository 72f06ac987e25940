"""Claims, volumes and classes of storage that cannot do what is asked, and updates that wait for a volume.

One rule a function; `check` runs them. Sources: kubernetes.io/docs/concepts/storage/{volumes,storage-classes,
persistent-volumes} (local volumes need nodeAffinity and delayed binding; access modes);
k8s.io/kubernetes v1.35.3, pkg/apis/core/validation (ValidatePersistentVolumeSpec).
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.neighbours import namespace_of, pod_labels, selects
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_LOCAL = frozenset({"kubernetes.io/no-provisioner", "rancher.io/local-path", "openebs.io/local"})
_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_ONE_NODE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})


@rule_around(
    "L439",
    Severity.WARNING,
    why="the disk is on one machine: pods of other machines stay Pending, or the claim is never bound",
    cure="write ReadWriteOnce, or use storage that machines share (NFS, CephFS)",
)
def shared_local_disk(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A disk of one machine is not shared between machines."""
    modes = set(map(str, sequence(document.spec.get("accessModes")))) & _SHARED
    if not modes:
        return
    if document.kind == "PersistentVolume" and "local" in document.spec:
        yield Finding(("spec", "accessModes"), f"{', '.join(sorted(modes))} of a local disk")
    if document.kind == "PersistentVolumeClaim":
        wanted = text(document.spec.get("storageClassName"))
        for each in around.neighbours.of("StorageClass"):
            if wanted and each.name == wanted and text(each.body.get("provisioner")) in _LOCAL:
                message = f"{', '.join(sorted(modes))} of class {wanted}, which gives local disks"
                yield Finding(("spec", "accessModes"), message)


@rule(
    "L440",
    Severity.WARNING,
    why="the claim is bound to a disk before the pod is placed, and then the pod must run there, or nowhere",
    cure="write volumeBindingMode: WaitForFirstConsumer",
)
def binding_of_local_disks(document: Document) -> Iterator[Finding]:
    """A class of local disks binds when the pod that wants one is placed."""
    if document.kind != "StorageClass" or text(document.body.get("provisioner")) not in _LOCAL:
        return
    mode = text(document.body.get("volumeBindingMode"))
    if mode != "WaitForFirstConsumer":
        yield Finding(("volumeBindingMode",), f"volumeBindingMode is {mode or 'Immediate'} for local disks")


@rule(
    "L441",
    Severity.ERROR,
    why="the API server refuses the volume",
    cure="write nodeAffinity.required with the machine's kubernetes.io/hostname",
)
def place_of_a_local_disk(document: Document) -> Iterator[Finding]:
    """A local volume says on which machine it is."""
    if document.kind == "PersistentVolume" and "local" in document.spec:
        affinity = mapping(mapping(document.spec.get("nodeAffinity")).get("required"))
        if not sequence(affinity.get("nodeSelectorTerms")):
            yield Finding(("spec", "local"), "a local disk without the machine that it is in")


@rule_around(
    "L442",
    Severity.WARNING,
    why="the new pod waits for a volume that the old one holds, on another machine for ever (Multi-Attach error)",
    cure="write strategy: {type: Recreate}, use a StatefulSet, or claim ReadWriteMany",
)
def update_with_one_volume(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A Deployment whose pods share a volume of one machine stops the old pod before it starts the new one."""
    strategy = mapping(document.spec.get("strategy"))
    surge = mapping(strategy.get("rollingUpdate")).get("maxSurge", 1)
    rolls = text(strategy.get("type")) in {"", "RollingUpdate"} and surge not in {0, "0", "0%"}
    several = whole(document.spec.get("replicas"), 1) > 1
    if document.kind != "Deployment" or not (rolls or several):
        return
    claims = {
        each.name: set(map(str, sequence(each.spec.get("accessModes"))))
        for each in around.neighbours.of("PersistentVolumeClaim", namespace_of(document))
    }
    for template in pod_templates(document):
        for index, volume in enumerate(map(mapping, sequence(template.spec.get("volumes")))):
            name = text(mapping(volume.get("persistentVolumeClaim")).get("claimName"))
            modes = claims.get(name, set())
            if modes and modes <= _ONE_NODE:
                how = "two pods at once" if several else "a new pod beside the old one"
                message = f"claim {name} is {', '.join(sorted(modes))}, and {how} would hold it"
                yield Finding((*template.path, "volumes", index), message)


@rule_around(
    "L443",
    Severity.WARNING,
    why="devices are behind another network, and nothing routes from a balancer in the cloud to a pod on the edge",
    cure="let devices call out (MQTT, the depot), or reach the daemon on the device itself",
)
def balancer_for_devices(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A Service of the cloud does not stand in front of pods on edge devices."""
    kind = text(document.spec.get("type"))
    selector = mapping(document.spec.get("selector"))
    if (
        document.kind != "Service"
        or document.group
        or kind not in {"LoadBalancer", "NodePort"}
        or not selector
    ):
        return
    for workload in around.neighbours.workloads_of(namespace_of(document)):
        on_edge = any(template.on_edge for template in pod_templates(workload))
        if on_edge and selects({"matchLabels": selector}, pod_labels(workload)):
            yield Finding(("spec", "type"), f"a {kind} in front of {workload.title} on the edge")


RULES = (
    shared_local_disk,
    binding_of_local_disks,
    place_of_a_local_disk,
    update_with_one_volume,
    balancer_for_devices,
)
"""What storage and services cannot do, in order of code."""
