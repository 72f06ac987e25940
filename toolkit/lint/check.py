"""Run every rule over objects. Last step of linting; `tiers lint`, `tiers render` and later `apply` call it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from toolkit.errors import Problem, Severity
from toolkit.lint import (
    autoscaling_hpa,
    autoscaling_keda,
    autoscaling_targets,
    autoscaling_vpa,
    cluster_policies,
    cluster_policies_disruption,
    cluster_policies_storage,
    gang_fit,
    gang_limits,
    gang_starts,
    job_names,
    job_policies,
    job_queue,
    kubeedge,
    kubeedge_config,
    kubeedge_groups,
    kubeedge_jobs,
    kubeedge_messages,
    kubeedge_offline,
    kubeedge_sensors,
    monitoring_metrics,
    monitoring_rules,
    monitoring_scrape,
    network_policies,
    pod_containers,
    pod_placement,
    pod_settings,
    pods,
    queue_tree,
    queues,
    same_names,
    scheduler_asked,
    scheduler_configuration,
    scheduler_effects,
    volcano,
    volcano_admission,
    volcano_cron,
    volcano_flows,
    volcano_gpus,
    volcano_network,
)
from toolkit.lint.document import Document, from_objects
from toolkit.lint.known_from_objects import known_from_objects
from toolkit.lint.rule import Rule
from toolkit.lint.surroundings import NOTHING_KNOWN, Surroundings

_SUBJECTS = (
    volcano_admission,
    job_policies,
    job_names,
    job_queue,
    volcano,
    volcano_flows,
    volcano_cron,
    volcano_network,
    volcano_gpus,
    queues,
    queue_tree,
    gang_starts,
    gang_fit,
    gang_limits,
    scheduler_configuration,
    scheduler_effects,
    scheduler_asked,
    kubeedge,
    kubeedge_config,
    kubeedge_jobs,
    kubeedge_messages,
    kubeedge_groups,
    kubeedge_sensors,
    kubeedge_offline,
    pods,
    pod_containers,
    pod_settings,
    pod_placement,
    autoscaling_hpa,
    autoscaling_vpa,
    autoscaling_keda,
    autoscaling_targets,
    cluster_policies,
    cluster_policies_disruption,
    cluster_policies_storage,
    network_policies,
    same_names,
    monitoring_metrics,
    monitoring_rules,
    monitoring_scrape,
)
RULES = tuple(sorted((rule for subject in _SUBJECTS for rule in subject.RULES), key=lambda rule: rule.code))
"""Every rule, in order of code."""


def lint(
    documents: Iterable[Document], known: Surroundings = NOTHING_KNOWN, rules: Sequence[Rule] = RULES
) -> tuple[Problem, ...]:
    """Find every problem: object by object, in each by position and code.

    `known` is what the caller knows around the objects, such as tiers.yaml; what they say of each other is added.
    With `rules` only those speak.
    """
    listed = tuple(documents)
    around = known_from_objects(listed, known)
    problems: list[Problem] = []
    for document in listed:
        found = [problem for rule in rules for problem in rule.problems(document, around)]
        problems.extend(
            sorted(found, key=lambda problem: (problem.place.line, problem.place.column, problem.code))
        )
    return tuple(problems)


def said_once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Leave out what a schema says of a place for which a rule has an error too: the rule knows the reason."""
    listed = tuple(problems)
    better = {each.place for each in listed if each.severity is Severity.ERROR and not _of_schema(each)}
    return tuple(each for each in listed if not _of_schema(each) or each.place not in better)


def _of_schema(problem: Problem) -> bool:
    return problem.code.startswith("L0")


def check_objects(
    bodies: Iterable[Mapping[str, object]], known: Surroundings = NOTHING_KNOWN
) -> tuple[Problem, ...]:
    """Find every problem of objects that never were a file, such as freshly rendered ones."""
    return lint(from_objects(bodies), known)
