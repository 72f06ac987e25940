"""Each wrong job of the corpus is refused for the one thing that is wrong, with its place and its cure.

The same files meet the real webhook and the real scheduler in tests/toolkit/cluster/test_refusals.py.
"""

from __future__ import annotations

import pytest

from tests.toolkit.lint.corpus_reader import CASES, FOLDER, PENDING, REFUSED
from toolkit.errors import Place, Problem, Severity
from toolkit.lint.check import lint, said_once
from toolkit.lint.document import from_files, from_objects
from toolkit.lint.gang_fit import STAYS_PENDING
from toolkit.lint.known_from_topology import known_from_topology

MEMORY = {"hot": {"pools": {"a100": {"memory": "1TiB"}, "h100": {"memory": "1TiB"}}}}


@pytest.fixture(scope="module")
def known(topology):
    return known_from_topology(topology({"tiers": MEMORY}))


def errors(problems, where):
    return [
        each for each in problems if each.severity is Severity.ERROR and each.place.where.startswith(where)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_job_is_refused_for_what_is_wrong(case, known):
    found = errors(lint(from_files([case.path, *case.beside]), known), str(case.path))
    assert {each.code for each in found} == {case.expect}
    pending = case.expect in STAYS_PENDING
    assert pending == (case.refused_by == "nobody")
    for problem in found:
        assert problem.place.line > len(case.text.split("apiVersion")[0].splitlines()), (
            "it points into the job"
        )
        assert problem.cure
        assert ("would stay Pending" in problem.message) == pending
        assert problem.message.startswith("Job corpus")


@pytest.mark.parametrize("case", PENDING, ids=lambda case: case.name)
def test_the_mended_job_is_not_refused(case, known):
    around = from_files(case.beside)
    repaired = from_objects([case.repaired()])
    assert errors(lint((*repaired, *around), known), "Job ") == []


def test_the_corpus_is_large_and_shows_every_code_of_its_kind():
    assert len(CASES) >= 40
    assert len(PENDING) >= 20
    assert {case.expect for case in PENDING} == {f"L{number}" for number in range(151, 163)}
    assert {case.refused_by for case in REFUSED} == {"webhook", "api server"}
    assert all(case.path.parent == FOLDER for case in CASES)


def test_a_schema_does_not_repeat_what_a_rule_says_better():
    here, there = Place("job.yaml", 9, 3), Place("job.yaml", 12, 3)
    schema, other = Problem("L006", Severity.ERROR, here, "s"), Problem("L006", Severity.ERROR, there, "s")
    rule, warning = Problem("L131", Severity.ERROR, here, "r"), Problem("L119", Severity.WARNING, there, "w")
    assert said_once([schema, other, rule, warning]) == (other, rule, warning)
