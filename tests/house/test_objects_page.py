"""docs/reference/objects.md leaves nothing out: every template has a golden."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WHOLE = """
import json, sys
sys.path.insert(0, "scripts")
from golden import REPOSITORY, goldens
from toolkit.render import template
from toolkit.topology.load import load
for case in sorted((REPOSITORY / "tests" / "golden").iterdir()):
    own = case / "tiers.yaml"
    list(goldens(load([own if own.is_file() else REPOSITORY / "tiers.yaml"]).topology))
print(json.dumps(sorted(name for _, name in template._environment().cache.keys())))
"""


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    try:
        import objects_page

        return objects_page
    finally:
        sys.path.remove(str(REPOSITORY / "scripts"))


def test_every_template_has_a_golden(page):
    said = subprocess.run(
        [sys.executable, "-c", WHOLE], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    used = set(json.loads(said.stdout))
    assert {each.path for each in page.templates()} - used == set()
