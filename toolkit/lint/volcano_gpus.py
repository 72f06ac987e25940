"""GPU gangs that compute nothing: shares asked for in the wrong words, no way to find each other, no time to save.

One rule a function. Sources: volcano-sh/volcano v1.15.1, docs/user-guide/how_to_use_volcano_vgpu.md and
pkg/scheduler/api/devices/nvidia/vgpu; pkg/controllers/job/plugins (svc and the plugins that bring it).
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, text
from toolkit.lint.gang_document import NEED_SERVICE, events, is_gang, plugins, pods_of, policies
from toolkit.lint.pod_templates import GPU, pod_templates, resources
from toolkit.lint.rule import Finding, rule

VGPU = "volcano.sh/vgpu-number"
_PARTS = ("volcano.sh/vgpu-memory", "volcano.sh/vgpu-memory-percentage", "volcano.sh/vgpu-cores")


@rule(
    "L144",
    Severity.ERROR,
    why="two plugins give the same card away twice, or no machine has both",
    cure=f"ask for {GPU} or for {VGPU}, never for both",
)
def whole_or_shared(document: Document) -> Iterator[Finding]:
    """A container asks for whole GPUs or for vGPUs."""
    for template in pod_templates(document):
        for path, container in template.containers():
            limits = resources(container, "limits")
            if GPU in limits and VGPU in limits:
                yield Finding((*path, "resources"), f"asks for {GPU} and for {VGPU}")


@rule(
    "L145",
    Severity.ERROR,
    why="Volcano counts vGPUs by their number, so the container gets no GPU at all",
    cure=f'add {VGPU}: "1"',
)
def shares_have_a_number(document: Document) -> Iterator[Finding]:
    """Memory or cores of a vGPU without a number of vGPUs."""
    for template in pod_templates(document):
        for path, container in template.containers():
            limits = resources(container, "limits")
            named = [each for each in _PARTS if each in limits]
            if named and VGPU not in limits:
                yield Finding((*path, "resources", "limits", named[0]), f"{named[0]} without {VGPU}")


@rule(
    "L146",
    Severity.WARNING,
    why="after 30 seconds kubelet kills the worker, and what it computed since the last checkpoint is lost",
    cure="write terminationGracePeriodSeconds: 120, and save a checkpoint at SIGTERM",
)
def time_for_a_checkpoint(document: Document) -> Iterator[Finding]:
    """A gang with GPUs that comes back after an eviction says how long its workers may take to end."""
    if not is_gang(document):
        return
    comes_back = any(
        {"PodEvicted", "*"} & set(events(policy))
        and text(policy.get("action")) in {"RestartJob", "RestartPod", "RestartTask"}
        for _, listed in policies(document)
        for policy in listed
    )
    for template in pod_templates(document) if comes_back else ():
        if template.gpus and template.spec.get("terminationGracePeriodSeconds") is None:
            yield Finding(
                template.path, "no terminationGracePeriodSeconds, so evicted workers get 30 seconds"
            )


@rule(
    "L147",
    Severity.WARNING,
    why="no worker knows the name of another, so each computes alone or all wait for a rank 0",
    cure="add the plugins env and svc, or pytorch, mpi, tensorflow or ray",
)
def workers_find_each_other(document: Document) -> Iterator[Finding]:
    """Several pods with GPUs need a Service, which svc and the plugins of the frameworks bring."""
    if not is_gang(document) or pods_of(document) < 2 or NEED_SERVICE & set(plugins(document)):  # noqa: PLR2004
        return
    if any(template.gpus for template in pod_templates(document)):
        yield Finding(("spec",), "several pods with GPUs and no plugin that lets them find each other")


RULES = (whole_or_shared, shares_have_a_number, time_for_a_checkpoint, workers_find_each_other)
"""What keeps GPUs from computing, in order of code."""
