"""Pods on KubeEdge nodes that would not start there, or not survive a day without the cloud. One rule a function.

The reasons come from reading kubeedge/kubeedge v1.23.1 and its issues. Only pods whose selector or affinity put them on
edge nodes are looked at; `check` runs the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.pod_templates import PodTemplate, pod_templates
from toolkit.lint.rule import Finding, rule

OUTAGE_TAINTS = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_NETWORK_VOLUMES = (
    "persistentVolumeClaim",
    "csi",
    "nfs",
    "iscsi",
    "cephfs",
    "rbd",
    "glusterfs",
    "azureFile",
    "ephemeral",
)

_UNSCOPED = frozenset({"DaemonSet", "StatefulSet", "ReplicaSet", "Pod", "Job", "CronJob"})
"""Kinds with pods that an EdgeApplication passes on once, to the whole cluster."""


def _edge(document: Document) -> Iterator[PodTemplate]:
    return (template for template in pod_templates(document) if template.on_edge)


@rule(
    "L201",
    Severity.ERROR,
    why="KubeEdge nodes do not know RuntimeClass; the pod never starts",
    cure="make nvidia the default runtime of containerd and remove the field",
)
def no_runtime_class(document: Document) -> Iterator[Finding]:
    """Edged has no RuntimeClass client: any name fails (issues 4416, 6334)."""
    for template in _edge(document):
        if "runtimeClassName" in template.spec:
            yield Finding((*template.path, "runtimeClassName"), "runtimeClassName on an edge node")


@rule(
    "L202",
    Severity.ERROR,
    why="after a day offline the pod cannot start again",
    cure="write automountServiceAccountToken: false",
)
def no_token(document: Document) -> Iterator[Finding]:
    """A token older than a day is dropped and cannot be fetched offline, so the pod does not start (issue 4441)."""
    for template in _edge(document):
        if template.spec.get("automountServiceAccountToken") is not False:
            yield Finding(template.path, "mounts a service account token")


@rule(
    "L203",
    Severity.WARNING,
    why="after an outage of five minutes the pod is deleted and made anew",
    cure="tolerate both with operator Exists and effect NoExecute",
)
def outage_tolerations(document: Document) -> Iterator[Finding]:
    """Kubernetes deletes pods of silent nodes after 300 s, and the edge hears of it when it is back (issue 3941)."""
    if document.kind == "DaemonSet":
        return  # its controller adds both
    for template in _edge(document):
        tolerated = {
            text(toleration.get("key"))
            for toleration in map(mapping, sequence(template.spec.get("tolerations")))
            if toleration.get("operator") == "Exists"
        }
        missing = [taint for taint in OUTAGE_TAINTS if taint not in tolerated and "" not in tolerated]
        if missing:
            yield Finding((*template.path, "tolerations"), f"does not tolerate {' and '.join(missing)}")


@rule(
    "L204",
    Severity.ERROR,
    why="a longer outage deletes the pod",
    cure="remove tolerationSeconds",
)
def no_toleration_seconds(document: Document) -> Iterator[Finding]:
    """A toleration that ends is an eviction that waits for the next long outage."""
    for template in _edge(document):
        for index, toleration in enumerate(map(mapping, sequence(template.spec.get("tolerations")))):
            if toleration.get("key") in OUTAGE_TAINTS and "tolerationSeconds" in toleration:
                yield Finding(
                    (*template.path, "tolerations", index), f"tolerates {toleration['key']} only for a time"
                )


@rule(
    "L205",
    Severity.ERROR,
    why="without network the container cannot start, though its image is there",
    cure="write imagePullPolicy: IfNotPresent",
)
def pull_policy(document: Document) -> Iterator[Finding]:
    """Always asks the registry at each start; a tag `latest` or none means Always."""
    for template in _edge(document):
        for path, container in template.containers():
            policy, image = text(container.get("imagePullPolicy")), text(container.get("image"))
            floating = image.endswith(":latest") or ":" not in image.rpartition("/")[2]
            if policy == "Always" or (not policy and floating):
                yield Finding(path, "asks the registry for its image at each start")


@rule(
    "L206",
    Severity.WARNING,
    why="devices may run different images under one name",
    cure="write the digest: name:tag@sha256:… (tiers.lock keeps them)",
)
def pinned_image(document: Document) -> Iterator[Finding]:
    """A tag can mean another image on each device, depending on when it was pulled."""
    for template in _edge(document):
        for path, container in template.containers():
            if not _DIGEST.search(text(container.get("image"))):
                yield Finding((*path, "image"), f"image {text(container.get('image'))} has no digest")


@rule(
    "L207",
    Severity.WARNING,
    why="without network the pod cannot start",
    cure="keep models and spool in a hostPath",
)
def local_volumes(document: Document) -> Iterator[Finding]:
    """A volume over the network is gone when the network is."""
    for template in _edge(document):
        for index, volume in enumerate(map(mapping, sequence(template.spec.get("volumes")))):
            found = [source for source in _NETWORK_VOLUMES if source in volume]
            if found:
                yield Finding(
                    (*template.path, "volumes", index), f"volume {volume.get('name')!r} is a {found[0]}"
                )


@rule(
    "L208",
    Severity.WARNING,
    why="which names resolve depends on the node",
    cure="write dnsPolicy: ClusterFirstWithHostNet",
)
def host_network_dns(document: Document) -> Iterator[Finding]:
    """With hostNetwork, the policy ClusterFirst silently becomes Default."""
    for template in _edge(document):
        if template.spec.get("hostNetwork") is True and not text(template.spec.get("dnsPolicy")):
            yield Finding((*template.path, "hostNetwork"), "hostNetwork without a dnsPolicy")


@rule(
    "L209",
    Severity.WARNING,
    why="every change restarts all devices of the pool",
    cure="write updateStrategy: {type: OnDelete}",
)
def update_when_told(document: Document) -> Iterator[Finding]:
    """A rolling update restarts inference on devices in the middle of their work."""
    strategy = text(mapping(document.spec.get("updateStrategy")).get("type"))
    if document.kind == "DaemonSet" and strategy != "OnDelete" and any(_edge(document)):
        yield Finding(("spec", "updateStrategy"), f"updateStrategy is {strategy or 'RollingUpdate'}")


@rule(
    "L210",
    Severity.WARNING,
    why="a pod of the wrong architecture crashes at its start",
    cure="add kubernetes.io/arch to the nodeSelector",
)
def architecture(document: Document) -> Iterator[Finding]:
    """Edge nodes are arm64 and amd64 side by side; the wrong image fails with `exec format error`."""
    for template in _edge(document):
        if "kubernetes.io/arch" not in mapping(template.spec.get("nodeSelector")):
            yield Finding((*template.path, "nodeSelector"), "no kubernetes.io/arch in the nodeSelector")


@rule(
    "L211",
    Severity.ERROR,
    why="the object runs on every node of the cluster",
    cure="use a Deployment there, or render one object a pool",
)
def scoped_manifests(document: Document) -> Iterator[Finding]:
    """EdgeApplication scopes Deployments only; any other kind goes to the whole cluster, once (issue 4387)."""
    if document.kind != "EdgeApplication" or document.group != "apps.kubeedge.io":
        return
    manifests = sequence(mapping(document.spec.get("workloadTemplate")).get("manifests"))
    for index, manifest in enumerate(map(mapping, manifests)):
        if text(manifest.get("kind")) in _UNSCOPED:
            message = f"a {manifest['kind']} in an EdgeApplication is not limited to its node groups"
            yield Finding(("spec", "workloadTemplate", "manifests", index), message)


RULES = (
    no_runtime_class,
    no_token,
    outage_tolerations,
    no_toleration_seconds,
    pull_policy,
    pinned_image,
    local_volumes,
    host_network_dns,
    update_when_told,
    architecture,
    scoped_manifests,
)
"""What does not hold on the edge, in order of code."""
