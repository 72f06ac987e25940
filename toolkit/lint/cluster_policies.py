"""PriorityClasses, ResourceQuotas and pods on spot machines: what is refused, or counts nothing. One rule a function.

Sources: k8s.io/kubernetes v1.35.3, pkg/apis/scheduling/validation (names and values of classes), plugin/pkg/admission/
priority (one default), pkg/quota/v1/evaluator/core/pods.go (extended resources are counted as requests.NAME only);
kubernetes.io/docs/concepts/workloads/controllers/job (pod failure policy). Beside it: `cluster_policies_disruption`,
`cluster_policies_storage`, `network_policies`; `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.pod_templates import VOLCANO_BATCH, PodTemplate, pod_templates
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import BUILT_IN_PRIORITIES, Surroundings

_HIGHEST = 1_000_000_000
_SYSTEM = "system-"
_SPOT_TAINTS = frozenset({"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"})
_SPOT_LABELS = {
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
}


@rule(
    "L430",
    Severity.ERROR,
    why="the API server refuses the class",
    cure=f"write a value of at most {_HIGHEST:,}, and a name that does not begin with {_SYSTEM}",
)
def class_of_users(document: Document) -> Iterator[Finding]:
    """What is above 1,000,000,000, or called system-…, belongs to Kubernetes itself."""
    if document.kind != "PriorityClass" or document.name in BUILT_IN_PRIORITIES:
        return
    value = document.body.get("value")
    if document.name.startswith(_SYSTEM):
        yield Finding(("metadata", "name"), f"{document.name!r} begins with {_SYSTEM}")
    elif whole(value, 0) > _HIGHEST:
        yield Finding(("value",), f"value {value} is above {_HIGHEST}")


@rule_around(
    "L431",
    Severity.ERROR,
    why="the API server refuses the second; pods without a class would have two",
    cure="write globalDefault: true on one class",
)
def one_default(document: Document, around: Surroundings) -> Iterator[Finding]:
    """One class at most is that of pods that name none."""
    if document.kind != "PriorityClass" or document.body.get("globalDefault") is not True:
        return
    for other in around.neighbours.of("PriorityClass"):
        if other is document:
            return
        if other.body.get("globalDefault") is True:
            yield Finding(("globalDefault",), f"PriorityClass {other.name} is the default already")
            return


@rule(
    "L432",
    Severity.ERROR,
    why="the quota counts extended resources as requests.NAME only; under another name it limits nothing",
    cure="write requests.nvidia.com/gpu",
)
def counted_as_requests(document: Document) -> Iterator[Finding]:
    """A quota names GPUs and other devices as requests.NAME."""
    if document.kind != "ResourceQuota":
        return
    for name in mapping(document.spec.get("hard")):
        resource = name.removeprefix("limits.")
        domain, slash, _ = resource.partition("/")
        counted = name.startswith(("requests.", "count/")) or domain.endswith((".k8s.io", "kubernetes.io"))
        if slash and not counted:
            yield Finding(
                ("spec", "hard", name),
                f"{name} is counted nowhere; a device is counted as requests.{resource}",
            )


@rule_around(
    "L433",
    Severity.ERROR,
    why="the quota matches no pod, so it limits nothing",
    cure="write the name of a PriorityClass that is there",
)
def quota_of_a_class(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A quota for a priority names one that exists."""
    if document.kind != "ResourceQuota" or not around.all_priorities:
        return
    there = around.priorities | BUILT_IN_PRIORITIES
    expressions = sequence(mapping(document.spec.get("scopeSelector")).get("matchExpressions"))
    for index, each in enumerate(map(mapping, expressions)):
        if each.get("scopeName") != "PriorityClass" or each.get("operator") != "In":
            continue
        for number, name in enumerate(sequence(each.get("values"))):
            if text(name) not in there:
                path = ("spec", "scopeSelector", "matchExpressions", index, "values", number)
                yield Finding(path, f"there is no PriorityClass {name}")


@rule(
    "L434",
    Severity.WARNING,
    why="30 s after the notice the pod is killed; a checkpoint that takes longer is lost",
    cure="write terminationGracePeriodSeconds, as long as the cloud's notice allows, and save on SIGTERM",
)
def grace_on_spot(document: Document) -> Iterator[Finding]:
    """Work on machines that the cloud takes back says how long it needs to save itself."""
    if document.kind not in {"Job", "CronJob"}:
        return
    for template in pod_templates(document):
        if _on_spot(template) and "terminationGracePeriodSeconds" not in template.spec:
            yield Finding(template.path, "runs on spot machines and leaves the grace period to its default")


@rule(
    "L435",
    Severity.WARNING,
    why="each machine that is taken back counts as a failure of the job: after backoffLimit (6) it is given up",
    cure="write podFailurePolicy with action Ignore for the condition DisruptionTarget (and restartPolicy: Never)",
)
def disruption_is_no_failure(document: Document) -> Iterator[Finding]:
    """A batch/v1 Job on machines that the cloud takes back does not count that as its own failure."""
    if document.kind != "Job" or document.group == VOLCANO_BATCH:
        return
    rules = map(mapping, sequence(mapping(document.spec.get("podFailurePolicy")).get("rules")))
    ignored = any(
        each.get("action") == "Ignore"
        and any(
            mapping(one).get("type") == "DisruptionTarget" for one in sequence(each.get("onPodConditions"))
        )
        for each in rules
    )
    for template in pod_templates(document):
        if _on_spot(template) and not ignored:
            yield Finding(("spec",), "a job on spot machines without a podFailurePolicy for disruptions")


def _on_spot(template: PodTemplate) -> bool:
    """Whether the pod is meant for machines that the cloud may take back at any time."""
    selector: Mapping[str, object] = mapping(template.spec.get("nodeSelector"))
    if any(selector.get(key) == value for key, value in _SPOT_LABELS.items()):
        return True
    tolerated = {text(mapping(each).get("key")) for each in sequence(template.spec.get("tolerations"))}
    return bool(tolerated & _SPOT_TAINTS)


RULES = (
    class_of_users,
    one_default,
    counted_as_requests,
    quota_of_a_class,
    grace_on_spot,
    disruption_is_no_failure,
)
"""What is refused or counts nothing among priorities and quotas, in order of code."""
