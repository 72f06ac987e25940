"""Topologies for the rooms that read one: the hospital of tiers.yaml, as it is or with changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from toolkit.topology.load import load_texts
from toolkit.topology.topology import Topology

TIERS_YAML = Path(__file__).parents[2] / "tiers.yaml"


def _merged(base: object, changes: object) -> object:
    """Lay changes over a document: mappings by key, None takes a key away, all else replaces."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(base.get(key), value)
    return result


@pytest.fixture(scope="session")
def hospital_text() -> str:
    """Give the text of tiers.yaml."""
    return TIERS_YAML.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def topology(hospital_text: str) -> Callable[..., Topology]:
    """Give `topology(changes)`: the hospital with changes laid over it, through the real loader."""

    def load(changes: dict[str, object] | None = None) -> Topology:
        document = _merged(yaml.safe_load(hospital_text), changes or {})
        return load_texts({"tiers.yaml": json.dumps(document, indent=1)}).topology

    return load


@pytest.fixture(scope="session")
def hospital(topology: Callable[..., Topology]) -> Topology:
    """Give the hospital of tiers.yaml."""
    return topology()
