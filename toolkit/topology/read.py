"""Text of one file -> nodes that know their place. The first step of loading; `variables` and `merge` come next.

Built on libyaml's events instead of a ready-made constructor, because only the events say where an alias, a tag or a
second document stands, and because a loop over events cannot run out of stack on a deeply nested file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from toolkit.errors import Place
from toolkit.topology.findings import Findings
from toolkit.topology.nodes import Entry, Fields, Items, Node, Scalar
from toolkit.topology.scalars import resolve, surprise

_DEEPEST = 40
_LARGEST = 4 * 2**20


@dataclass
class _OpenFields:
    """A mapping whose end has not come yet."""

    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, Place] | None = None
    skip: bool = False
    """Whether the next value belongs to a key that was refused."""


@dataclass
class _OpenItems:
    """A list whose end has not come yet."""

    place: Place
    children: list[Node] = field(default_factory=list)


_Open: TypeAlias = _OpenFields | _OpenItems


def read(text: str, file: str, findings: Findings) -> Node | None:
    """Read one file. Problems go to `findings`; None means that the text is no YAML at all.

    An empty file gives an empty mapping, so that an overlay may be empty.

    Args:
        text: the content.
        file: the name that places carry.
        findings: takes every problem.
    """
    start = Place(file, 1, 1)
    if len(text) > _LARGEST:
        findings.add("E0112", start, f"the file has more than {_LARGEST // 2**20} MiB")
        return None
    builder = _Builder(file, findings)
    try:
        for event in _events(text):
            builder.take(event)
            if builder.too_deep:
                return None
    except yaml.MarkedYAMLError as exc:
        _report_syntax(exc, text, file, findings)
        return None
    except (yaml.YAMLError, UnicodeEncodeError) as exc:
        findings.add(
            "E0112", _reader_place(exc, text, start), "the file holds a character that YAML does not allow"
        )
        return None
    if builder.root is None or (isinstance(builder.root, Scalar) and builder.root.value is None):
        return Fields({}, start)
    return builder.root


def _events(text: str) -> Iterator[yaml.Event]:
    """Give libyaml's events; C where it is built in, which every wheel of PyYAML has."""
    events: Iterable[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
    yield from events


def _reader_place(exc: Exception, text: str, start: Place) -> Place:
    """Find line and column of a character that cannot be read."""
    offset = getattr(exc, "position", getattr(exc, "start", None))
    if not isinstance(offset, int):
        return start
    before = text[:offset]
    return Place(start.where, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _report_syntax(exc: yaml.MarkedYAMLError, text: str, file: str, findings: Findings) -> None:
    """Turn libyaml's complaint into a finding, with the cure for the two usual reasons."""
    mark = exc.problem_mark or exc.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or line[place.column - 1 : place.column] == "\t":
        findings.add(
            "E0103", Place(file, place.line, line.index("\t") + 1), "a tab stands where YAML needs spaces"
        )
        return
    said = " ".join(part for part in (exc.context, exc.problem) if part)
    cure = (
        'inside { } and [ ] put quotes around "${NAME}"'
        if "${" in line and "{" in line.replace("${", "")
        else ""
    )
    began = exc.context_mark.line + 1 if exc.context_mark else place.line
    since = f"; it begins in line {began}" if began != place.line else ""
    findings.add("E0101", place, f"this is not YAML: {said}{since}", cure=cure)


class _Builder:
    """Puts events together; holds what is open on a stack of its own."""

    def __init__(self, file: str, findings: Findings) -> None:
        """Start with nothing open."""
        self.root: Node | None = None
        self.too_deep = False
        self._file = file
        self._findings = findings
        self._stack: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents == 2:  # noqa: PLR2004  # the second is the one too many
                self._findings.add("E0104", self._place(event), "a second document starts here")
        elif self._documents > 1:
            return
        elif isinstance(event, yaml.AliasEvent):
            self._findings.add("E0109", self._place(event), f"'*{event.anchor}' is an alias")
            self._add(Scalar(f"*{event.anchor}", self._place(event), f"*{event.anchor}"), event)
        elif isinstance(event, yaml.ScalarEvent):
            self._check_properties(event)
            self._add(self._scalar(event), event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._check_properties(event)
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            self._stack.append(
                _OpenFields(self._place(event)) if is_mapping else _OpenItems(self._place(event))
            )
            if len(self._stack) > _DEEPEST:
                self._findings.add(
                    "E0112", self._place(event), f"the file is nested more than {_DEEPEST} deep"
                )
                self.too_deep = True
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close(event)

    def _place(self, event: yaml.Event) -> Place:
        """Give the place where an event starts."""
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _check_properties(self, event: yaml.NodeEvent) -> None:
        """Refuse anchors and tags."""
        if event.anchor is not None:
            self._findings.add("E0109", self._place(event), f"'&{event.anchor}' is an anchor")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._findings.add(
                "E0110", self._place(event), f"'{tag.replace('tag:yaml.org,2002:', '!!')}' is a tag"
            )

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        """Make a scalar; as the key of a mapping every plain word is text, unless it surprises."""
        place, text = self._place(event), event.value
        if event.style is not None and event.style != "":
            return Scalar(text, place, text)
        found = surprise(text)
        if found is not None:
            self._findings.add(found[0], place, found[1])
            return Scalar(text, place, text)
        return Scalar(resolve(text), place, text, plain=True)

    def _close(self, event: yaml.Event) -> None:
        """End the innermost mapping or list."""
        done = self._stack.pop()
        if isinstance(done, _OpenFields):
            self._add(Fields(done.entries, done.place), event)
        else:
            self._add(Items(tuple(done.children), done.place), event)

    def _add(self, node: Node, event: yaml.Event) -> None:
        """Put a finished node where it belongs."""
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if isinstance(parent, _OpenItems):
            parent.children.append(node)
        elif parent.key is None and not parent.skip:
            self._add_key(parent, node, event)
        else:
            if parent.key is not None:
                parent.entries[parent.key[0]] = Entry(parent.key[1], node)
            parent.key, parent.skip = None, False

    def _add_key(self, parent: _OpenFields, node: Node, event: yaml.Event) -> None:
        """Take a key; refuse one that is no text, merges, or was there before."""
        place = node.place
        if isinstance(event, yaml.AliasEvent):
            parent.skip = True
        elif isinstance(node, Scalar) and node.plain and node.text == "<<":
            self._findings.add("E0109", place, "'<<' is a merge key")
            parent.skip = True
        elif not isinstance(node, Scalar) or node.text == "":
            self._findings.add("E0111", place, "a key must be one word")
            parent.skip = True
        elif node.text in parent.entries:
            first = parent.entries[node.text].key_place
            self._findings.add(
                "E0102", place, f"the key '{node.text}' was already there in line {first.line}"
            )
            parent.skip = True
        else:
            parent.key = (node.text, place)
