"""Volcano's scheduler configuration as values with their places: from a bare file, or from a ConfigMap's text.

Between `document` and the rules of `scheduler_configuration`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.errors import TiersError
from toolkit.lint.document import (
    SCHEDULER_KIND,
    Document,
    ValuePath,
    from_text,
    mapping,
    sequence,
    text,
    written,
)
from toolkit.lint.rule import Finding

CONFIG_KEY = "volcano-scheduler.conf"
"""Key of the ConfigMap, by Volcano's chart."""


@dataclass(frozen=True)
class Plugin:
    """One plugin of one tier."""

    name: str
    tier: int
    """Place of its tier, from 0; Volcano asks tier after tier."""
    path: ValuePath
    body: Mapping[str, object]

    @property
    def arguments(self) -> Mapping[str, object]:
        """Its arguments; empty when it has none."""
        return mapping(self.body.get("arguments"))

    def switched_off(self, switch: str) -> bool:
        """Whether a switch is there and off."""
        return self.body.get(switch) is False

    def number(self, argument: str, default: int) -> int:
        """Give an argument as Volcano reads it: a whole number, or a text that is one."""
        value = self.arguments.get(argument)
        if isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else default


@dataclass(frozen=True)
class Configuration:
    """A configuration and where it stands: by itself, or as a text in a ConfigMap (`inside`)."""

    body: Mapping[str, object]
    inside: ValuePath = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions, in their order."""
        return tuple(each.strip() for each in text(self.body.get("actions")).split(","))

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin, tier after tier."""
        return tuple(self._plugins())

    def named(self, name: str) -> Plugin | None:
        """Give the first plugin of this name; None when there is none."""
        return next((each for each in self.plugins if each.name == name), None)

    def finding(self, path: ValuePath, message: str) -> Finding:
        """Point at a path of the configuration; in a ConfigMap at its text, and name the path."""
        return Finding(self.inside, f"{written(path)}: {message}") if self.inside else Finding(path, message)

    def _plugins(self) -> Iterator[Plugin]:
        for number, tier in enumerate(sequence(self.body.get("tiers"))):
            for position, plugin in enumerate(sequence(mapping(tier).get("plugins"))):
                body = mapping(plugin)
                path: ValuePath = ("tiers", number, "plugins", position)
                yield Plugin(text(body.get("name")), number, path, body)


def configurations(document: Document) -> Iterator[Configuration]:
    """Find the configurations of an object; a text that is none gives none, `unreadable` says so."""
    if document.kind == SCHEDULER_KIND:
        yield Configuration({key: value for key, value in document.body.items() if key != "kind"})
    for key, content in _texts(document):
        found = _parsed(content)
        if isinstance(found, Mapping):
            yield Configuration(found, ("data", key))


def unreadable(document: Document) -> Iterator[Finding]:
    """Find the texts of an object that are no configuration."""
    for key, content in _texts(document):
        found = _parsed(content)
        if isinstance(found, str):
            yield Finding(("data", key), found)


def _texts(document: Document) -> Iterator[tuple[str, str]]:
    if document.kind == "ConfigMap" and not document.group:
        content = mapping(document.body.get("data")).get(CONFIG_KEY)
        if isinstance(content, str):
            yield CONFIG_KEY, content


def _parsed(content: str) -> Mapping[str, object] | str:
    """Parse a text; give what is wrong with it when it is no configuration."""
    try:
        found = from_text(content, CONFIG_KEY)
    except TiersError as error:
        return error.message
    if len(found) != 1 or found[0].kind != SCHEDULER_KIND:
        return f"{CONFIG_KEY} has not both actions and tiers"
    return {key: value for key, value in found[0].body.items() if key != "kind"}
