"""Two forms of one object → the fields that differ, each with both values. Used by `diff` for what it shows.

Values of Secrets are shown as hashes only. Items of lists are told apart by their name where they have one, as
server-side apply does. A long text (a configuration in a ConfigMap) is shown as a unified diff of its lines.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SECRET_KEYS = ("data", "stringData")
_ABSENT = ""
_LONG = 80
"""Characters from which on a text is shown by its lines."""
_CONTEXT = 1
_NAMING_KEYS = ("name", "key", "mountPath", "containerPort", "type")


@dataclass(frozen=True)
class FieldChange:
    """A field and its values as JSON text; an empty text means that the field is not there."""

    path: str
    before: str
    after: str

    def __str__(self) -> str:
        """Write it on one line."""
        if not self.before:
            return f"+ {self.path}: {self.after}"
        return (
            f"- {self.path}: {self.before}"
            if not self.after
            else f"~ {self.path}: {self.before} → {self.after}"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """Write it on one line, or a long text as a unified diff: `- ` was there, `+ ` would be."""
        old, new = _long_text(self.before), _long_text(self.after)
        if old is None or new is None:
            return (str(self),)
        compared = difflib.unified_diff(old, new, lineterm="", n=_CONTEXT)
        shown = [line for line in compared if not line.startswith(("---", "+++"))]
        return (
            f"~ {self.path}:",
            *(f"{line[:1]} {line[1:]}" if line[:2] != "@@" else "@@" for line in shown),
        )


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[FieldChange, ...]:
    """Name every field in which two forms of an object differ, in order of path."""
    secret = after.get("kind", before.get("kind")) == "Secret"
    found = _walk(before, after, "")
    return tuple(sorted((_hidden(each) if secret else each for each in found), key=lambda each: each.path))


def _walk(before: object, after: object, path: str) -> Iterator[FieldChange]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _step(before, after, name, f"{path}.{name}" if path else str(name))
        return
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        old, new = _named(before), _named(after)
        for name in sorted({*old, *new}):
            yield from _step(old, new, name, f"{path}[{name}]")
        return
    yield FieldChange(path, _text(before), _text(after))


def _step(
    before: Mapping[str, object], after: Mapping[str, object], name: str, path: str
) -> Iterator[FieldChange]:
    if name not in after:
        yield FieldChange(path, _text(before[name]), _ABSENT)
    elif name not in before:
        yield FieldChange(path, _ABSENT, _text(after[name]))
    else:
        yield from _walk(before[name], after[name], path)


def _named(items: list[object] | tuple[object, ...]) -> dict[str, object]:
    """Give items by name where each has one of its own, else by position."""
    for key in _NAMING_KEYS:
        names = [str(item[key]) if isinstance(item, Mapping) and key in item else "" for item in items]
        if all(names) and len(set(names)) == len(names):
            return dict(zip(names, items, strict=True))
    return {f"{number:04d}": item for number, item in enumerate(items)}


def _long_text(value: str) -> list[str] | None:
    """Give the lines of a long text; JSON in it is written with a line for each value. None for all else."""
    try:
        text = json.loads(value) if value else None
    except ValueError:  # a hash
        return None
    if not isinstance(text, str) or (len(text) < _LONG and "\n" not in text):
        return None
    try:
        return json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return text.splitlines()


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _hidden(change: FieldChange) -> FieldChange:
    """Show the hash of a Secret's value instead of the value."""
    if not change.path.startswith(_SECRET_KEYS):
        return change
    hashed = [
        f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}" if text else ""
        for text in (change.before, change.after)
    ]
    return FieldChange(change.path, hashed[0], hashed[1])
