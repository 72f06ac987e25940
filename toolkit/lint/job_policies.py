"""Policies of a Volcano Job that its webhook refuses, or takes and never carries out. One rule a function.

Source: volcano-sh/volcano v1.15.1, pkg/webhooks/admission/jobs/validate/util.go (validatePolicies). It looks at the
action of a policy only where that names an event; `check` runs these rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, sequence, text
from toolkit.lint.gang_document import events, is_gang, policies, written_anew
from toolkit.lint.rule import Finding, rule
from toolkit.lint.volcano_admission import REFUSED

EVENTS = frozenset(
    {"*", "PodFailed", "PodEvicted", "PodPending", "Unknown", "TaskCompleted", "TaskFailed", "JobUpdated"},
)
ACTIONS = frozenset(
    {
        "AbortJob", "RestartJob", "RestartTask", "RestartPod", "RestartPartition",
        "TerminateJob", "CompleteJob", "ResumeJob",
    },
)  # fmt: skip
_EVENTS = ", ".join(sorted(EVENTS))
_ACTIONS = ", ".join(sorted(ACTIONS))
_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")


@rule(
    "L102",
    Severity.ERROR,
    why=REFUSED,
    cure="take names of Volcano's list, each once, and exit codes other than 0",
)
def policy_shape(document: Document) -> Iterator[Finding]:
    """A policy names events or one exit code that is not 0, known events, a known action, and nothing twice."""
    for path, listed in policies(document):
        seen: set[str] = set()
        for index, policy in enumerate(listed):
            here: ValuePath = (*path, index)
            yield from _one_policy(
                policy, here, empty_counts=not ("tasks" in path and written_anew(document))
            )
            keys = [f"event {each}" for each in dict.fromkeys(events(policy))]
            if not keys and policy.get("exitCode") is not None:
                keys = [f"exit code {policy['exitCode']}"]
            yield from (Finding(here, f"{key} has two policies") for key in keys if key in seen)
            seen.update(keys)
        if "event *" in seen and any(key.startswith("event ") for key in seen - {"event *"}):
            yield Finding(path, "'*' stands beside other events")


@rule(
    "L134",
    Severity.ERROR,
    why=REFUSED,
    cure="write a time as Go does, such as 90s, 30m or 1h30m",
)
def times(document: Document) -> Iterator[Finding]:
    """Times are texts with units; anything else cannot be read."""
    if not is_gang(document):
        return
    listed: list[tuple[ValuePath, object]] = [
        (("spec", "runningEstimate"), document.spec.get("runningEstimate"))
    ]
    for path, group in policies(document):
        listed.extend(
            ((*path, index, "timeout"), policy.get("timeout")) for index, policy in enumerate(group)
        )
    for path, value in listed:
        if value is not None and not (isinstance(value, str) and _DURATION.fullmatch(value)):
            yield Finding(path, f"{value!r} is no time")


@rule(
    "L120",
    Severity.WARNING,
    why="Volcano takes the policy and then does nothing",
    cure=f"take one of {_ACTIONS}",
)
def action_of_exit_code(document: Document) -> Iterator[Finding]:
    """The webhook does not look at the action of an exit code, so a wrong one is found when a worker fails."""
    for path, listed in policies(document):
        for index, policy in enumerate(listed):
            action = policy.get("action")
            if not events(policy) and policy.get("exitCode") is not None and action not in ACTIONS:
                yield Finding((*path, index, "action"), f"{action!r} is no action of Volcano")


def _one_policy(policy: Mapping[str, object], here: ValuePath, *, empty_counts: bool) -> Iterator[Finding]:
    named, code = events(policy), policy.get("exitCode")
    if isinstance(policy.get("events"), str):
        yield Finding((*here, "events"), f"events is the text {policy['events']!r}, not a list")
    elif bool(named) == (code is not None):
        yield Finding(here, "a policy needs either an event or an exit code")
    if code == 0 and not named:
        yield Finding((*here, "exitCode"), "exit code 0 is success and starts no policy")
    if policy.get("event") is not None and not isinstance(policy.get("event"), str):
        yield Finding((*here, "event"), f"{policy.get('event')!r} is no text")
    given = [*sequence(policy.get("events")), *([policy["event"]] if "event" in policy else [])]
    for event in given:
        if event is None or (event == "" and not empty_counts):
            continue
        if text(event) not in EVENTS:
            yield Finding(here, f"{event!r} is no event of Volcano that a job may name ({_EVENTS})")
    if named and text(policy.get("action")) not in ACTIONS:
        yield Finding((*here, "action"), f"{policy.get('action')!r} is no action of Volcano ({_ACTIONS})")


RULES = (
    policy_shape,
    action_of_exit_code,
    times,
)
"""What is wrong with policies."""
