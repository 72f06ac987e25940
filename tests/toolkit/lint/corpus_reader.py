"""Reads the corpus of wrong jobs: what is wrong in each, the code we expect, who else refuses it, what repairs it.

The head of each file of corpus/ says: what is wrong; `expect:` the code; `refused by:` webhook, api server or nobody;
`repair:` for those that would stay Pending, places and the values that let the job run; `with:` objects beside it.
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

FOLDER = Path(__file__).parent / "corpus"
SURROUNDINGS = Path(__file__).parent / "corpus_surroundings.yaml"
NAMESPACES = ("corpus", "corpus-quota", "corpus-limits")


@dataclass(frozen=True)
class Case:
    """One wrong job."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def expect(self) -> str:
        return self._head("expect")

    @property
    def refused_by(self) -> str:
        """webhook, api server or nobody."""
        return self._head("refused by").partition(",")[0]

    @property
    def job(self) -> dict[str, Any]:
        return yaml.safe_load(self.text)

    @property
    def beside(self) -> tuple[Path, ...]:
        named = self._head("with")
        return (SURROUNDINGS, *((SURROUNDINGS.parent / named,) if named else ()))

    def repaired(self) -> dict[str, Any]:
        """Give the job with its fault mended."""
        job = copy.deepcopy(self.job)
        for place, value in json.loads(self._head("repair")).items():
            *way, last = place.split(".")
            target: Any = job
            for part in way:
                target = target[int(part)] if part.isdigit() else target[part]
            if value is None:
                del target[last]
            else:
                target[last] = value
        return job

    def _head(self, key: str) -> str:
        found = re.search(rf"^# {key}: (.*)$", self.text, re.MULTILINE)
        return found[1] if found else ""


CASES = [Case(path) for path in sorted(FOLDER.glob("*.yaml"))]
REFUSED = [case for case in CASES if case.refused_by != "nobody"]
PENDING = [case for case in CASES if case.refused_by == "nobody"]


def objects(path: Path) -> list[dict[str, Any]]:
    """Give the objects of a file of surroundings."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
