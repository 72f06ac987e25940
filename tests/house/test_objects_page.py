"""docs/reference/objects.md leaves nothing out: every template has a golden, every CRD is rendered or has a reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.crds import find_crds

REPOSITORY = Path(__file__).parents[2]
WHOLE = """
import json, sys
opened = set()
sys.addaudithook(lambda event, args: event == "open" and str(args[0]).endswith(".j2") and opened.add(str(args[0])))
sys.path.insert(0, "scripts")
from golden import REPOSITORY, goldens
from toolkit.topology.load import load
for case in sorted((REPOSITORY / "tests" / "golden").iterdir()):
    own = case / "tiers.yaml"
    list(goldens(load([own if own.is_file() else REPOSITORY / "tiers.yaml"]).topology))
print(json.dumps(sorted(path.rpartition("templates/")[2] for path in opened)))
"""
"""Renders every golden in a process of its own, and says which templates were opened for it."""


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


def test_every_custom_kind_is_rendered_or_has_a_reason(page, require):
    require("crds")
    folder = find_crds()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    there = set()
    for path in sorted(folder.glob("*/*.yaml")):
        for text in re.split(r"^---$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            crd = yaml.load(text, Loader=loader)  # noqa: S506 -- a safe one
            if crd:
                there.add((crd["spec"]["group"], crd["spec"]["names"]["kind"]))
    rendered = {(version.partition("/")[0], kind) for version, kind in page.rendered_kinds()}
    rendered &= there
    assert rendered & set(page.NOT_RENDERED) == set()
    assert there - rendered - set(page.NOT_RENDERED) == set()
