"""Does Volcano's scheduler do what our queues and jobs need? By the configuration that it reads. One check a function.

Volcano takes a wrong configuration without a word and goes on with its built-in one (enqueue, allocate, backfill), so a
missing action shows only as jobs that wait. Found by the scheduler's Deployment, else where tiers.yaml or the chart
put it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from toolkit.cluster.doctor.finding import error, some, warning
from toolkit.cluster.doctor.patient import Patient
from toolkit.cluster.doctor.versions import VOLCANO
from toolkit.errors import Place, Problem
from toolkit.lint import scheduler_asked
from toolkit.lint.document import Document, from_objects, mapping, sequence, text
from toolkit.lint.known_from_objects import known_from_objects
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.scheduler_configuration import check_configuration
from toolkit.lint.scheduler_document import CONFIG_KEY, Configuration, configurations
from toolkit.lint.surroundings import NOTHING_KNOWN
from toolkit.render.scheduler import ACTIONS

CHART_PLACE = ("volcano-system", "volcano-scheduler-configmap")
"""Namespace and name by Volcano's chart."""
_PREEMPT, _RECLAIM = {"preempt", "gangpreempt"}, {"reclaim", "gangreclaim"}

NOT_FOUND = error(
    "D301",
    "Volcano's scheduler has no configuration.",
    why="the scheduler goes on with its built-in actions: nothing is preempted or reclaimed",
    cure="tiers render --scheduler-config gives the text; put it into the ConfigMap as volcano-scheduler.conf",
)
NO_ACTION = error(
    "D302",
    "The scheduler lacks an action that queues or priorities need.",
    why="jobs wait for machines that others should give back",
    cure="add it to `actions`; tiers render --scheduler-config shows where",
)
NO_PLUGIN = error(
    "D303",
    "The scheduler lacks a plugin that our objects speak to.",
    why="what the objects ask for is not looked at",
    cure="add it; tiers render --scheduler-config shows where",
)
OTHER_PROFILE = warning(
    "D304",
    "The scheduler's actions are not those of the profile in tiers.yaml.",
    why="who takes whose place is not what tiers.yaml says",
    cure="tiers render --scheduler-config, or write the profile that is meant into tiers.yaml",
)


def configuration_is_sound(patient: Patient) -> Iterator[Problem]:
    """There is a configuration, and the rules of lint find nothing in it, nor in what our objects ask of it."""
    if not patient.needs("volcano.sh"):
        return
    place, found = _text(patient)
    if found is None:
        yield NOT_FOUND.at(place, f"no {CONFIG_KEY} there")
        return
    yield from check_configuration(found, Place(place))
    live = Document({"kind": "ConfigMap", "data": {CONFIG_KEY: found}})
    ours = from_objects(each.body for each in patient.objects)
    around = known_from_objects((*ours, live), NOTHING_KNOWN)
    for document in ours:
        for rule in scheduler_asked.RULES:
            yield from rule.problems(document, around)


def actions_do_what_is_needed(patient: Patient) -> Iterator[Problem]:
    """Preempt for priorities, reclaim for shares, and what the profile of tiers.yaml has."""
    place, configuration = _configuration(patient)
    if configuration is None:
        return
    actions = list(configuration.actions)
    sharing = [name for name, spec in _queues(patient) if {"deserved", "guarantee"} & set(spec)]
    missing = False
    if sharing and not _RECLAIM & set(actions):
        missing = True
        yield NO_ACTION.at(
            place, f"no reclaim among the actions, and what queues deserve is lent: {some(sharing)}"
        )
    if patient.topology.jobs and len(patient.topology.priorities) > 1 and not _PREEMPT & set(actions):
        missing = True
        names = sorted(patient.topology.priorities)
        yield NO_ACTION.at(
            place, f"no preempt among the actions, so priorities only order the queue: {some(names)}"
        )
    profile = patient.topology.scheduler.profile
    wanted = ACTIONS[profile]
    if not missing and actions != wanted.split(", "):
        yield OTHER_PROFILE.at(place, f"actions are {', '.join(actions)}; the profile {profile} has {wanted}")


def plugins_do_what_is_needed(patient: Patient) -> Iterator[Problem]:
    """Gang, priority and capacity are on where our objects speak to them."""
    place, configuration = _configuration(patient)
    if configuration is None:
        return
    on = {each.name for each in configuration.plugins}
    queues = dict(_queues(patient))
    needs = {
        "gang": [f"Job {each.name}" for each in patient.objects if each.kind == "Job"],
        "priority": [
            f"PriorityClass {each.name}" for each in patient.objects if each.kind == "PriorityClass"
        ],
        "capacity": [n for n, spec in queues.items() if {"deserved", "guarantee", "capability"} & set(spec)],
    }
    for plugin, names in needs.items():
        if names and plugin not in on:
            yield NO_PLUGIN.at(place, f"the plugin {plugin} is off, and it is meant by {some(names)}")


def _queues(patient: Patient) -> Iterator[tuple[str, Mapping[str, object]]]:
    for each in patient.objects:
        if each.kind == "Queue":
            yield f"Queue {each.name}", mapping(each.body.get("spec"))


def _configuration(patient: Patient) -> tuple[str, Configuration | None]:
    """Give place and content of the configuration; None when there is none, or none that can be read."""
    if not patient.needs("volcano.sh"):
        return "", None
    place, found = _text(patient)
    live = Document({"kind": "ConfigMap", "data": {CONFIG_KEY: found}})
    return place, next(iter(configurations(live)), None) if found is not None else None


def _text(patient: Patient) -> tuple[str, str | None]:
    """Give place and text of the configuration; None when there is none."""
    namespace, name, key = _place(patient)
    config_map = patient.config_map(namespace, name)
    found = mapping(mapping(config_map or {}).get("data")).get(key)
    return f"ConfigMap {namespace}/{name}", found if isinstance(found, str) else None


def _place(patient: Patient) -> tuple[str, str, str]:
    """Say where the scheduler reads: namespace, name and key of a ConfigMap."""
    part = patient.part(VOLCANO["scheduler"])
    target = patient.topology.scheduler.target
    if part:
        for template in pod_templates(Document(part.body)):
            words = " ".join(
                str(word)
                for _, container in template.containers(init=False)
                for word in (*sequence(container.get("args")), *sequence(container.get("command")))
            )
            file = re.search(r"--scheduler-conf[= ](\S+)", words)
            key = file[1].rpartition("/")[2] if file else CONFIG_KEY
            for volume in map(mapping, sequence(template.spec.get("volumes"))):
                named = text(mapping(volume.get("configMap")).get("name"))
                if named:
                    return part.namespace, named, key
    if target:
        return target.namespace, target.name, CONFIG_KEY
    return (*CHART_PLACE, CONFIG_KEY)


CHECKS = (configuration_is_sound, actions_do_what_is_needed, plugins_do_what_is_needed)
"""Every check of this subject."""
