"""Each case of tests/golden: as reviewed, valid for its API servers, and without a fault that lint knows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from toolkit.errors import Severity
from toolkit.lint.check import check_objects
from toolkit.render.objects import render
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[3]
CASES = sorted(path.name for path in (REPOSITORY / "tests" / "golden").iterdir() if path.is_dir())


def _script():
    spec = importlib.util.spec_from_file_location("golden", REPOSITORY / "scripts" / "golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Give the folder of a case and its topology."""
    folder = REPOSITORY / "tests" / "golden" / request.param
    own = folder / "tiers.yaml"
    return folder, load([own if own.is_file() else REPOSITORY / "tiers.yaml"]).topology


def test_it_is_as_reviewed(case):
    folder, topology = case
    texts = dict(_script().goldens(topology))
    kept = {
        path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name != "tiers.yaml"
    }
    assert set(texts) == set(kept)
    for name, text in texts.items():
        assert text == kept[name], f"{name}: make golden, and read the difference"


def test_it_is_valid_for_its_api_servers(case, schema_errors):
    errors = {each.file_name: schema_errors(each.body) for each in render(case[1])}
    assert {name: found for name, found in errors.items() if found} == {}


def test_lint_finds_no_error(case):
    found = check_objects(each.body for each in render(case[1]))
    assert [each for each in found if each.severity is Severity.ERROR and each.code != "L206"] == []
