"""Reads the faults of faults/: a file with one fault, the code we expect, and the smallest repair.

The head of each file says what is wrong; `expect:` the code; `repair:` JSON pointers (the first part is the number of
the document) and their new values, null to take a key away. Where they are needed: `with:` files of faults/around that
stand beside it, `beside:` codes that the same fault earns too, `says:` words of the message.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from toolkit.lint.document import Document, from_files, from_objects

FOLDER = Path(__file__).parent / "faults"


@dataclass(frozen=True)
class Fault:
    """One file with one fault."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def code(self) -> str:
        return self.head("expect")

    @property
    def beside(self) -> frozenset[str]:
        return frozenset(self.head("beside").replace(",", " ").split())

    @cached_property
    def around(self) -> tuple[Document, ...]:
        names = self.head("with").replace(",", " ").split()
        return from_files(FOLDER / "around" / f"{name}.yaml" for name in names)

    @cached_property
    def faulty(self) -> tuple[Document, ...]:
        return (*from_files([self.path]), *self.around)

    @cached_property
    def repaired(self) -> tuple[Document, ...]:
        return (*from_objects(repair(self.bodies, json.loads(self.head("repair")))), *self.around)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return list(yaml.safe_load_all(self.text))

    def head(self, key: str) -> str:
        found = re.search(rf"^# {key}: (.*)$", self.text, re.MULTILINE)
        return found[1].strip() if found else ""


def repair(bodies: list[dict[str, Any]], changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the documents with the values at these JSON pointers (RFC 6901) put, appended or taken away."""
    mended: Any = copy.deepcopy(bodies)
    for pointer, value in changes.items():
        *way, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
        target = mended
        for part in way:
            target = target[int(part) if isinstance(target, list) else part]
        key: Any = int(last) if isinstance(target, list) else last
        if value is None:
            del target[key]
        elif isinstance(target, list) and key == len(target):
            target.append(value)
        else:
            target[key] = value
    return mended


FAULTS = [Fault(path) for path in sorted(FOLDER.glob("*.yaml"))]
