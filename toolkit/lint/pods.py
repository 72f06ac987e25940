"""Pods anywhere: what makes them unsafe, unfair or slow. One rule a function; `check` runs them.

Security follows the `restricted` Pod Security Standard (kubernetes.io/docs/concepts/security/pod-security-standards),
without its ban of host paths, which devices need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.pod_templates import GPU, PodTemplate, pod_templates, resources
from toolkit.lint.quantity import parse_quantity
from toolkit.lint.rule import Finding, rule

_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)$", re.IGNORECASE
)
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- the path that NCCL takes
_RESTRICTED = "the Pod Security Standard `restricted` refuses it"


@rule(
    "L301",
    Severity.WARNING,
    why="the scheduler packs blindly and the kernel kills it first",
    cure="write requests for cpu and memory",
)
def requests(document: Document) -> Iterator[Finding]:
    """Queues, bin packing and eviction all count requests."""
    for template in pod_templates(document):
        for path, container in template.containers(init=False):
            given = {**resources(container, "limits"), **resources(container, "requests")}
            missing = [resource for resource in ("cpu", "memory") if resource not in given]
            if missing:
                yield Finding((*path, "resources"), f"no request for {' and '.join(missing)}")


@rule(
    "L302",
    Severity.WARNING,
    why=_RESTRICTED,
    cure="write securityContext: {runAsNonRoot: true, runAsUser: …}",
)
def not_root(document: Document) -> Iterator[Finding]:
    """Root in a container with a host path is root on the host's files."""
    for template, path, container in _containers(document):
        if _security(template, container).get("runAsNonRoot") is not True:
            yield Finding(path, "may run as root")


@rule(
    "L303",
    Severity.WARNING,
    why=_RESTRICTED,
    cure="write allowPrivilegeEscalation: false and drop all capabilities",
)
def no_escalation(document: Document) -> Iterator[Finding]:
    """Without it, setuid programs gain rights, and capabilities stay."""
    for template, path, container in _containers(document):
        security = _security(template, container)
        if security.get("privileged") is True:
            yield Finding((*path, "securityContext"), "is privileged")
        elif security.get("allowPrivilegeEscalation") is not False:
            yield Finding(path, "may gain privileges")


@rule(
    "L304",
    Severity.WARNING,
    why=_RESTRICTED,
    cure="write seccompProfile: {type: RuntimeDefault}",
)
def seccomp(document: Document) -> Iterator[Finding]:
    """Unconfined is the default of the API, not of most runtimes."""
    for template, path, container in _containers(document):
        profile = mapping(_security(template, container).get("seccompProfile"))
        if text(profile.get("type")) not in {"RuntimeDefault", "Localhost"}:
            yield Finding(path, "has no seccomp profile")


@rule(
    "L305",
    Severity.WARNING,
    why="an intruder can change programs; writes fill the node's disk",
    cure="write readOnlyRootFilesystem: true and mount what is written",
)
def read_only_root(document: Document) -> Iterator[Finding]:
    """What a container writes outside of its volumes is lost and fills the node's disk."""
    for template, path, container in _containers(document):
        if _security(template, container).get("readOnlyRootFilesystem") is not True:
            yield Finding(path, "has a writable root filesystem")


@rule(
    "L306",
    Severity.ERROR,
    why="a secret in an object is in every backup, log and pull request",
    cure="use valueFrom.secretKeyRef or a mounted secret",
)
def literal_secret(document: Document) -> Iterator[Finding]:
    """Whoever may read the object reads the secret; so does every log of it."""
    for _, path, container in _containers(document):
        for index, variable in enumerate(map(mapping, sequence(container.get("env")))):
            name, value = text(variable.get("name")), text(variable.get("value"))
            if value and _SECRET_NAME.search(name) and not value.startswith("/"):
                yield Finding((*path, "env", index), f"{name} holds its value in plain text")


@rule(
    "L307",
    Severity.ERROR,
    why="the API server refuses the pod",
    cure=f"write limits: {{{GPU}: 1}}",
)
def whole_gpus(document: Document) -> Iterator[Finding]:
    """GPUs are an extended resource: whole numbers, and requests equal limits."""
    for _, path, container in _containers(document):
        limit, request = resources(container, "limits").get(GPU), resources(container, "requests").get(GPU)
        if limit is None and request is None:
            continue
        most, asked = parse_quantity(limit), parse_quantity(limit if request is None else request)
        if most is None or most != asked or most % 1 or most < 0:
            yield Finding(
                (*path, "resources"), f"{GPU} needs one whole number as limit, and the same as request"
            )


@rule(
    "L308",
    Severity.WARNING,
    why="the job may start on the wrong GPU, or on a device",
    cure="select tiers.dev/pool or nvidia.com/gpu.product",
)
def gpu_kind(document: Document) -> Iterator[Finding]:
    """Without a selector a pod takes any GPU, and with KubeEdge even that of a device."""
    for template in pod_templates(document):
        affinity = mapping(mapping(template.spec.get("affinity")).get("nodeAffinity"))
        chosen = template.spec.get("nodeSelector") or template.spec.get("nodeName")
        if template.gpus and not chosen and not affinity:
            yield Finding(template.path, "asks for GPUs of any kind on any node")


@rule(
    "L309",
    Severity.WARNING,
    why="NCCL fails with `unhandled system error` under load",
    cure="mount an emptyDir of medium Memory at /dev/shm",
)
def shared_memory(document: Document) -> Iterator[Finding]:
    """NCCL and data loaders crash in the 64 MiB of /dev/shm that containers get by default."""
    for template in pod_templates(document):
        if template.gpus < 2 or template.on_edge:  # noqa: PLR2004 -- one GPU talks to nobody
            continue
        memory = {
            text(volume.get("name"))
            for volume in map(mapping, sequence(template.spec.get("volumes")))
            if mapping(volume.get("emptyDir")).get("medium") == "Memory"
        }
        for path, container in template.containers(init=False):
            mounts = map(mapping, sequence(container.get("volumeMounts")))
            if not any(
                mount.get("mountPath") == _SHARED_MEMORY and text(mount.get("name")) in memory
                for mount in mounts
            ):
                yield Finding(path, "has several GPUs and no memory at /dev/shm")


def _containers(document: Document) -> Iterator[tuple[PodTemplate, ValuePath, Mapping[str, object]]]:
    for template in pod_templates(document):
        for path, container in template.containers():
            yield template, path, container


def _security(template: PodTemplate, container: Mapping[str, object]) -> Mapping[str, object]:
    """Give what holds for a container: the pod's context, overridden by its own."""
    return {**mapping(template.spec.get("securityContext")), **mapping(container.get("securityContext"))}


RULES = (
    requests,
    not_root,
    no_escalation,
    seccomp,
    read_only_root,
    literal_secret,
    whole_gpus,
    gpu_kind,
    shared_memory,
)
"""What is unsafe or unfair in pods, in order of code."""
