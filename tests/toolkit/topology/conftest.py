from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import TopologyError
from toolkit.topology.load import Loaded, load, load_texts

REPOSITORY = Path(__file__).resolve().parents[3]
SITE = REPOSITORY / "tests" / "invalid" / "site.yaml"


@pytest.fixture(scope="session")
def hospital() -> Loaded:
    """The worked example."""
    return load([REPOSITORY / "tiers.yaml"])


@pytest.fixture
def over_site():
    """Merge a text over the small valid site."""

    def merged(text: str, **variables: str) -> Loaded:
        return load_texts({"site.yaml": SITE.read_text(), "over.yaml": text}, variables)

    return merged


@pytest.fixture
def problems_of(over_site):
    """Give `line:col CODE message` of what is wrong with a text over the small valid site."""

    def problems(text: str, **variables: str) -> list[str]:
        with pytest.raises(TopologyError) as caught:
            over_site(text, **variables)
        return [str(problem).removeprefix("over.yaml:") for problem in caught.value.problems]

    return problems
