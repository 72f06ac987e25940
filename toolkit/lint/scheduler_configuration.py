"""Volcano scheduler configurations that are refused, read over, or contradict themselves. One rule a function.

Looked at are volcano-scheduler.conf as a file and as the text of a ConfigMap; the source is volcano-sh/volcano v1.15.1.
`scheduler_effects` holds the rules about what a configuration does, `scheduler_asked` those that compare it with the
objects beside it. After these comes `check`, or the doctor, which hands a live text to `check_configuration`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from toolkit.errors import Place, Problem, Severity
from toolkit.lint import scheduler_effects
from toolkit.lint.document import Document, ValuePath
from toolkit.lint.rule import Finding, rule
from toolkit.lint.scheduler_document import CONFIG_KEY, Configuration, configurations, unreadable
from toolkit.lint.scheduler_words import (
    ACTIONS,
    BINPACK_ARGUMENTS,
    BINPACK_RESOURCES,
    DESERVING,
    PLUGIN_KEYS,
    PLUGINS,
    TOP_KEYS,
    WEIGHTS,
)

_IGNORED = "the scheduler ends, or goes on with the configuration that it has"
_ONE_BY_ONE, _WHOLE = {"preempt", "reclaim"}, {"gangpreempt", "gangreclaim"}


@rule("L171", Severity.ERROR, why=_IGNORED, cure="take the output of tiers render --scheduler-config")
def is_a_configuration(document: Document) -> Iterator[Finding]:
    """The text is YAML and has actions and tiers."""
    yield from unreadable(document)


@rule("L172", Severity.ERROR, why=_IGNORED, cure=f"take names of this list: {', '.join(ACTIONS)}")
def known_actions(document: Document) -> Iterator[Finding]:
    """One unknown action makes the scheduler refuse all of the configuration (issue 5827)."""
    for found in configurations(document):
        for action in found.actions:
            if action not in ACTIONS:
                message = f"'{action}' is no action of Volcano{_meant(action, ACTIONS)}"
                yield found.finding(("actions",), message)


@rule("L173", Severity.ERROR, why="the scheduler goes on without it", cure="correct its name or remove it")
def known_plugins(document: Document) -> Iterator[Finding]:
    """An unknown plugin is a line in the log and nothing else."""
    for found in configurations(document):
        for plugin in found.plugins:
            if plugin.name not in PLUGINS:
                message = f"'{plugin.name}' is no plugin of Volcano{_meant(plugin.name, PLUGINS)}"
                yield found.finding((*plugin.path, "name"), message)


@rule(
    "L174", Severity.WARNING, why="the scheduler reads over it without a word", cure="correct it or remove it"
)
def known_keys(document: Document) -> Iterator[Finding]:
    """The parser is not strict: a switch with a typo keeps its default."""
    for found in configurations(document):
        yield from _unknown(found, (), found.body, TOP_KEYS)
        for plugin in found.plugins:
            yield from _unknown(found, plugin.path, plugin.body, PLUGIN_KEYS)
            path: ValuePath = (*plugin.path, "arguments")
            if plugin.name == "nodeorder":
                yield from _unknown(found, path, plugin.arguments, tuple(WEIGHTS))
            if plugin.name == "binpack":
                own = [each for each in plugin.arguments if not each.startswith(f"{BINPACK_RESOURCES}.")]
                yield from _unknown(found, path, own, BINPACK_ARGUMENTS)


@rule("L175", Severity.ERROR, why="the later one replaces the first in part", cure="keep one of them")
def each_plugin_once(document: Document) -> Iterator[Finding]:
    """A plugin has one instance; listed twice it votes in both places with the arguments of the last."""
    for found in configurations(document):
        seen: set[str] = set()
        for plugin in found.plugins:
            if plugin.name in seen:
                yield found.finding((*plugin.path, "name"), f"the plugin {plugin.name} stands there twice")
            seen.add(plugin.name)


@rule(
    "L176",
    Severity.ERROR,
    why="two plugins divide the machines by different rules",
    cure="keep capacity, which knows deserved and guarantee, and remove proportion",
)
def one_way_to_divide(document: Document) -> Iterator[Finding]:
    """The documentation of capacity forbids proportion beside it; drf with a hierarchy and proportion do not start."""
    for found in configurations(document):
        proportion, capacity, drf = (found.named(name) for name in ("proportion", "capacity", "drf"))
        if proportion and capacity:
            yield found.finding((*proportion.path, "name"), "proportion and capacity exclude each other")
        if proportion and drf and drf.body.get("enableHierarchy") is True:
            yield found.finding((*drf.path, "enableHierarchy"), "drf with a hierarchy excludes proportion")


@rule(
    "L177",
    Severity.ERROR,
    why="both choose victims, each without knowing of the other's",
    cure="keep preempt and reclaim, or gangpreempt and gangreclaim",
)
def one_way_to_evict(document: Document) -> Iterator[Finding]:
    """Volcano's design of the gang actions forbids the others beside them."""
    for found in configurations(document):
        actions = set(found.actions)
        if actions & _ONE_BY_ONE and actions & _WHOLE:
            names = " and ".join(each for each in found.actions if each in _ONE_BY_ONE | _WHOLE)
            yield found.finding(("actions",), f"{names} exclude each other")


@rule(
    "L178",
    Severity.ERROR,
    why="nobody says what a queue deserves, so nothing is taken back or everything",
    cure="add the plugin capacity to the first tier",
)
def reclaim_knows_what_is_deserved(document: Document) -> Iterator[Finding]:
    """Of these two actions gangreclaim asks capacity alone, reclaim capacity or proportion."""
    for found in configurations(document):
        wanted = {"gangreclaim": ("capacity",), "reclaim": DESERVING}
        for action, deserving in wanted.items():
            if action in found.actions and not any(found.named(each) for each in deserving):
                yield found.finding(("actions",), f"{action} without the plugin {' or '.join(deserving)}")


RULES = (
    is_a_configuration,
    known_actions,
    known_plugins,
    known_keys,
    each_plugin_once,
    one_way_to_divide,
    one_way_to_evict,
    reclaim_knows_what_is_deserved,
)
"""What is refused, read over or contradicts itself, in order of code."""


def check_configuration(content: str, place: Place) -> tuple[Problem, ...]:
    """Find every problem of a configuration's text, such as that of a live ConfigMap.

    Args:
        content: the text of volcano-scheduler.conf.
        place: what the text belongs to; each problem names it and, in its message, the path inside the text.
    """
    body = {"kind": "ConfigMap", "data": {CONFIG_KEY: content}}
    problems = (
        problem for rule in (*RULES, *scheduler_effects.RULES) for problem in rule.problems(Document(body))
    )
    return tuple(
        Problem(each.code, each.severity, place, each.message, each.why, each.cure) for each in problems
    )


def _unknown(
    found: Configuration, path: ValuePath, keys: Iterable[str], known: tuple[str, ...]
) -> Iterator[Finding]:
    for key in keys:
        if key not in known:
            yield found.finding((*path, key), f"Volcano has no key '{key}' here{_meant(key, known)}")


def _meant(word: str, known: tuple[str, ...]) -> str:
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), list(lower), n=1)
    return f"; did you mean '{lower[near[0]]}'?" if near else ""
