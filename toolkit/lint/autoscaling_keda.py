"""ScaledObjects of KEDA that are refused, or that do something else than they seem to. One rule a function.

Source: kedacore/keda 2.20: metadata of triggers is map[string]string; cron.go and prometheus_scaler.go (required keys,
start ≠ end); the HPA takes the largest of what the triggers ask for, so a cron is a floor (issues 3566, 6564).
Beside this file: `autoscaling_hpa` (bounds and behaviour of both), `autoscaling_targets`; `check` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.autoscaling_document import smallest, triggers
from toolkit.lint.document import Document, mapping, text
from toolkit.lint.neighbours import is_scaled_object
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule

_REQUIRED = {
    "prometheus": ("serverAddress", "query", "threshold"),
    "cron": ("timezone", "start", "end", "desiredReplicas"),
}
_WORD = re.compile(r"[A-Za-z_]\w*")
_DEFAULT_MOST = 100


@rule(
    "L413",
    Severity.ERROR,
    why="the API server refuses the ScaledObject",
    cure='put quotes around it: threshold: "50", desiredReplicas: "6"',
)
def texts(document: Document) -> Iterator[Finding]:
    """Every value of a trigger's metadata is a text."""
    for trigger in triggers(document):
        for key, value in trigger.metadata.items():
            if not isinstance(value, str):
                yield Finding((*trigger.path, "metadata", key), f"{key}: {value!r} is no text")


@rule(
    "L414",
    Severity.ERROR,
    why="KEDA cannot build the scaler: the ScaledObject never becomes Ready and nothing scales",
    cure="write the keys that the message names",
)
def required_keys(document: Document) -> Iterator[Finding]:
    """Prometheus and cron triggers have the keys without which they mean nothing."""
    for trigger in triggers(document):
        missing = [key for key in _REQUIRED.get(trigger.type, ()) if trigger.metadata.get(key) in (None, "")]
        if missing:
            yield Finding((*trigger.path, "metadata"), f"a {trigger.type} trigger needs {', '.join(missing)}")


@rule(
    "L415",
    Severity.ERROR,
    why="KEDA refuses the trigger",
    cure="let it end at another time than it starts",
)
def cron_that_lasts(document: Document) -> Iterator[Finding]:
    """A cron trigger ends at another time than it starts."""
    for trigger in triggers(document):
        start = text(trigger.metadata.get("start"))
        if trigger.type == "cron" and start and start == trigger.metadata.get("end"):
            yield Finding((*trigger.path, "metadata", "end"), f"it starts and ends at {start!r}")


@rule(
    "L416",
    Severity.WARNING,
    why="the HPA takes the largest of all triggers: a cron is a floor, never a cap",
    cure="ask for more than minReplicaCount and at most maxReplicaCount; scale in by a low minReplicaCount",
)
def cron_is_a_floor(document: Document) -> Iterator[Finding]:
    """A cron trigger asks for more replicas than there are anyway, and not for more than there may be."""
    least, most = smallest(document), whole(document.spec.get("maxReplicaCount"), _DEFAULT_MOST)
    for trigger in triggers(document):
        asked = text(trigger.metadata.get("desiredReplicas"))
        if trigger.type != "cron" or not asked.isdigit():
            continue
        path = (*trigger.path, "metadata", "desiredReplicas")
        if int(asked) <= least:
            yield Finding(path, f"{asked} replicas add nothing to minReplicaCount {least}")
        elif int(asked) > most:
            yield Finding(path, f"{asked} replicas are more than maxReplicaCount {most}")


@rule(
    "L417",
    Severity.WARNING,
    why="outside of its hours no trigger is active and the workload falls to 0 (issue 5620)",
    cure="write a minReplicaCount of at least 1",
)
def cron_above_nothing(document: Document) -> Iterator[Finding]:
    """A workload with a cron trigger keeps replicas outside of its hours."""
    if smallest(document) > 0 or any(each.type != "cron" for each in triggers(document)):
        return
    for trigger in triggers(document):
        yield Finding(trigger.path, "cron alone, with minReplicaCount 0")
        return


@rule(
    "L418",
    Severity.ERROR,
    why="KEDA can idle at 0 only; another number is refused or never reached, because the HPA holds its minimum",
    cure="write idleReplicaCount: 0 with a minReplicaCount of at least 1, or leave it out",
)
def idle_at_zero(document: Document) -> Iterator[Finding]:
    """An idle workload has no replicas at all, and fewer than a busy one."""
    if not is_scaled_object(document) or "idleReplicaCount" not in document.spec:
        return
    idle = document.spec.get("idleReplicaCount")
    if whole(idle, -1) != 0:
        yield Finding(("spec", "idleReplicaCount"), f"idleReplicaCount {idle!r} is not 0")
    elif smallest(document) < 1:
        yield Finding(("spec", "idleReplicaCount"), "idleReplicaCount is not below minReplicaCount")


@rule(
    "L419",
    Severity.WARNING,
    why="while Prometheus is away the HPA holds whatever it had, perhaps the night's two pods in the morning",
    cure="write fallback: {failureThreshold: 3, replicas: …, behavior: currentReplicasIfHigher}",
)
def fallback(document: Document) -> Iterator[Finding]:
    """A workload that scales by Prometheus says how many replicas it has without Prometheus."""
    if mapping(document.spec.get("fallback")):
        return
    for trigger in triggers(document):
        if trigger.type == "prometheus":
            yield Finding(trigger.path, "a prometheus trigger without a fallback")
            return


@rule(
    "L420",
    Severity.ERROR,
    why="with a formula only the formula reaches the HPA: what it does not name has no effect, such as a cron's floor",
    cure="name it in the formula: max(peak, …)",
)
def outside_the_formula(document: Document) -> Iterator[Finding]:
    """A formula names every trigger."""
    modifiers = mapping(mapping(document.spec.get("advanced")).get("scalingModifiers"))
    formula = text(modifiers.get("formula"))
    if not formula:
        return
    named = set(_WORD.findall(formula))
    for trigger in triggers(document):
        name = text(trigger.body.get("name"))
        if name not in named:
            yield Finding(trigger.path, f"{trigger.type} trigger {name!r} stands outside of the formula")


@rule(
    "L426",
    Severity.WARNING,
    why="an empty result counts as 0, so a metric that vanished scales in to the minimum, and no fallback comes",
    cure='write ignoreNullValues: "false"',
)
def empty_is_zero(document: Document) -> Iterator[Finding]:
    """A prometheus trigger with a fallback takes an empty result for an error."""
    if not mapping(document.spec.get("fallback")):
        return  # L419 speaks of it
    for trigger in triggers(document):
        if trigger.type == "prometheus" and text(trigger.metadata.get("ignoreNullValues")) != "false":
            yield Finding((*trigger.path, "metadata"), "an empty result counts as 0")


RULES = (
    texts,
    required_keys,
    cron_that_lasts,
    cron_is_a_floor,
    cron_above_nothing,
    idle_at_zero,
    fallback,
    outside_the_formula,
    empty_is_zero,
)
"""What is refused in ScaledObjects or means something else, in order of code."""
