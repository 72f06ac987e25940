"""The form of Prometheus' rules: what it refuses to load, and what an alert lacks for whoever is woken up by it.

One rule a function; `check` runs them. Sources: prometheus/prometheus, model/rulefmt (ValidateRule) at v2.42, the
version of Debian 12 and so of many machines without a container; what the operator writes goes through the same code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, text
from toolkit.lint.monitoring_document import alerts, groups, rules
from toolkit.lint.promql import duration
from toolkit.lint.rule import Finding, rule

_NEW_KEYS = {
    "labels": "3.0",
    "query_offset": "2.53",
    "partial_response_strategy": "none at all: it is Thanos'",
}
"""Key of a group → the first Prometheus that takes it."""
_RECORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_REFUSED = (
    "Prometheus refuses the whole file, and the operator leaves the object out: none of its rules is there"
)


@rule(
    "L465",
    Severity.WARNING,
    why="Alertmanager routes by severity: such an alert falls to the default receiver, or to nobody",
    cure="write labels: {severity: critical}, or warning, or info",
)
def severity(document: Document) -> Iterator[Finding]:
    """An alert says how bad it is."""
    for part in alerts(document):
        if not mapping(part.body.get("labels")).get("severity"):
            yield part.finding((), f"alert {part.name} has no severity")


@rule(
    "L466",
    Severity.WARNING,
    why="whoever is woken up reads a name and labels, and has to guess",
    cure="write annotations: {summary: …, description: …}",
)
def words(document: Document) -> Iterator[Finding]:
    """An alert says in words what is wrong."""
    for part in alerts(document):
        given = mapping(part.body.get("annotations"))
        if not any(given.get(key) for key in ("summary", "description", "message")):
            yield part.finding((), f"alert {part.name} has neither summary nor description")


@rule(
    "L471",
    Severity.WARNING,
    why="an older Prometheus (2.42 is Debian's) refuses the whole file for one unknown key",
    cure="put the labels on each rule, and the offset into the expressions",
)
def new_keys(document: Document) -> Iterator[Finding]:
    """A group has keys that every Prometheus in use takes."""
    for group in groups(document):
        for key, since in _NEW_KEYS.items():
            if key in group.body:
                yield group.finding((key,), f"{key} of a group is taken by Prometheus from {since}")


@rule(
    "L473",
    Severity.ERROR,
    why=_REFUSED,
    cure="write alert or record, an expr, and for, labels and annotations where they belong",
)
def form(document: Document) -> Iterator[Finding]:
    """A rule is an alert or a record, has an expression, and a record has neither for nor annotations."""
    for part in rules(document):
        named = [key for key in ("alert", "record") if part.body.get(key)]
        if len(named) != 1:
            yield part.finding((), f"has {' and '.join(named) or 'neither alert nor record'}")
        if not str(part.body.get("expr") or ""):
            yield part.finding((), f"{part.name or 'the rule'} has no expr")
        if named == ["record"]:
            for key in ("for", "keep_firing_for", "annotations"):
                if part.body.get(key):
                    yield part.finding((key,), f"record {part.name} has {key}, which only an alert has")
            if not _RECORD.fullmatch(part.name):
                yield part.finding(("record",), f"{part.name!r} cannot name a series")


@rule(
    "L474",
    Severity.ERROR,
    why=_REFUSED,
    cure="write durations such as 30s, 5m, 1h30m",
)
def durations(document: Document) -> Iterator[Finding]:
    """Times are durations of Prometheus: whole numbers with their unit, the larger unit first."""
    for part in rules(document):
        for key in ("for", "keep_firing_for"):
            value = part.body.get(key)
            if value is not None and duration(str(value)) is None:
                yield part.finding((key,), f"{value!r} is no duration")
    for group in groups(document):
        value = group.body.get("interval")
        if value is not None and duration(str(value)) is None:
            yield group.finding(("interval",), f"{value!r} is no duration")


@rule(
    "L475",
    Severity.ERROR,
    why=_REFUSED,
    cure="give each group of a file a name of its own",
)
def names_of_groups(document: Document) -> Iterator[Finding]:
    """No two groups of a file have one name."""
    seen: set[tuple[object, str]] = set()
    for group in groups(document):
        key = (group.inside, text(group.body.get("name")))
        if key in seen:
            yield group.finding(("name",), f"two groups are called {key[1]!r}")
        seen.add(key)


RULES = (severity, words, new_keys, form, durations, names_of_groups)
"""What is wrong with the form of Prometheus' rules, in order of code."""
