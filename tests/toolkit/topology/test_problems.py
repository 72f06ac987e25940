"""tests/invalid: each file yields exactly the problems of its .txt, and its minimal repair yields none.

A case is merged over site.yaml; its first line may say `# alone` or `# arguments: --set NAME=VALUE`.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from toolkit.cli.site import variables_of
from toolkit.errors import Severity
from toolkit.topology.load import Examined, examine
from toolkit.topology.problems import CATALOGUE

INVALID = Path(__file__).resolve().parents[2] / "invalid"
CASES = sorted(
    path.stem for path in INVALID.glob("*.yaml") if path.stem != "site" and ".fixed" not in path.name
)
SEVERAL = "ten-faults"
MOST_CHANGED_LINES = 3


@pytest.fixture(autouse=True)
def _in_the_folder_of_cases():
    before = Path.cwd()
    os.chdir(INVALID)
    yield
    os.chdir(before)


def examined(name: str) -> Examined:
    case = Path(f"{name}.yaml")
    first = case.read_bytes().splitlines()[0].decode()
    arguments = [word for word in first.partition("# arguments:")[2].split() if word != "--set"]
    files = [case] if first == "# alone" else [Path("site.yaml"), case]
    return examine(files, variables_of(arguments))


def expected(name: str) -> list[str]:
    return Path(f"{name}.txt").read_text().splitlines()


def code_of(line: str) -> str:
    return next(word for word in line.split() if word in CATALOGUE)


def test_the_site_under_every_case_is_valid():
    assert examined("site") == Examined(valid=True, problems=(), counts=examined("site").counts)


@pytest.mark.parametrize("name", CASES)
def test_each_file_yields_exactly_its_problems(name):
    result = examined(name)
    assert [str(problem) for problem in result.problems] == expected(name)
    assert result.valid == all(problem.severity is Severity.WARNING for problem in result.problems)
    for problem in result.problems:
        assert problem.why
        assert problem.cure
        assert (problem.excerpt != "") == (problem.place.line > 0)


@pytest.mark.parametrize("name", CASES)
def test_each_repair_is_valid_and_small(name):
    assert examined(f"{name}.fixed").problems == ()
    if name != SEVERAL:
        wrong, right = (Path(f"{name}{end}").read_text().splitlines() for end in (".yaml", ".fixed.yaml"))
        changed = [line for line in difflib.ndiff(wrong, right) if line.startswith("- ")]
        assert len(changed) <= MOST_CHANGED_LINES


def test_every_code_of_the_catalogue_has_a_file_and_every_file_a_code():
    shown = {code_of(line) for name in CASES if name != SEVERAL for line in expected(name)}
    assert shown == set(CATALOGUE)
    assert all(len(expected(name)) == 1 for name in CASES if name != SEVERAL)


def test_ten_faults_in_one_file_are_reported_at_once():
    lines = expected(SEVERAL)
    assert len(lines) == len({code_of(line) for line in lines}) == 10


def test_the_catalogue_says_why_and_how_in_plain_sentences():
    for code, row in CATALOGUE.items():
        assert code == row.code
        assert row.severity is (Severity.WARNING if code.startswith("W") else Severity.ERROR)
        for text in (row.title, row.why, row.cure):
            assert text == text.strip()
            assert text[-1] not in ".!"
