"""Every rule has a fault and its repair, and whoever switches one rule off turns exactly its own cases red.

The cases: the files of faults/, the corpus of jobs, and the tables of good objects with one change each. A case is red
when its own code is not told of the fault. Rules are pure and know nothing of each other, so what lint says is what
its rules say one by one; the first test holds that to be so, and the others reckon with it.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass

import pytest
import yaml

from tests.toolkit.lint import conftest, test_kubeedge_config, test_rules, test_scheduler_configuration
from tests.toolkit.lint.corpus_reader import PENDING
from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.lint.check import RULES, lint
from toolkit.lint.document import Document, from_files, from_objects, from_text
from toolkit.lint.known_from_topology import known_from_topology
from toolkit.lint.surroundings import NOTHING_KNOWN, Surroundings
from toolkit.render.scheduler import scheduler_config

CODES = {rule.code for rule in RULES}
BY_CODE = {rule.code: rule for rule in RULES}


@dataclass(frozen=True)
class Case:
    """Documents with a fault, the same without it, and the code that is told of it."""

    name: str
    code: str
    faulty: tuple[Document, ...]
    repaired: tuple[Document, ...]
    known: Surroundings = NOTHING_KNOWN


def of_files():
    for fault in FAULTS:
        yield Case(fault.name, fault.code, fault.faulty, fault.repaired)


def of_good_objects():
    for number, (code, which, path, value, place) in enumerate(test_rules.BAD):
        if place is None:
            continue
        body = copy.deepcopy(conftest.GOOD[which])
        conftest.put(body, path, conftest.DROP if value == test_rules.DROP else value)
        good = from_objects([conftest.GOOD[which]])
        yield Case(f"{code} {which} {number}", code, from_objects([body]), good)


def of_the_corpus(known):
    for case in PENDING:
        around = from_files(case.beside)
        faulty = (*from_files([case.path]), *around)
        yield Case(case.name, case.expect, faulty, (*from_objects([case.repaired()]), *around), known)


def of_kubeedge():
    for number, (code, good, path, value, _) in enumerate(test_kubeedge_config.BAD):
        body = test_kubeedge_config.spoiled(good, path, value)
        yield Case(f"{code} kubeedge {number}", code, from_objects([body]), from_objects([good]))


def of_the_scheduler(hospital):
    ours = yaml.safe_load(scheduler_config(hospital))
    good = from_text(yaml.safe_dump(ours), "ours.conf")
    for name, (code, change, _) in test_scheduler_configuration.WRONG.items():
        body = copy.deepcopy(ours)
        change(body)
        yield Case(f"{code} {name}", code, from_text(yaml.safe_dump(body), "conf"), good)


@pytest.fixture(scope="module")
def cases(topology, hospital):
    memory = {"hot": {"pools": {"a100": {"memory": "1TiB"}, "h100": {"memory": "1TiB"}}}}
    known = known_from_topology(topology({"tiers": memory}))
    return (
        *of_files(),
        *of_good_objects(),
        *of_the_corpus(known),
        *of_kubeedge(),
        *of_the_scheduler(hospital),
    )


@pytest.fixture(scope="module")
def told(cases):
    """What each rule says on its own of each case: code -> its problems, for codes that say something."""

    def alone(case):
        spoken = {each.code for each in lint(case.faulty, case.known)}
        quiet = tuple(rule for rule in RULES if rule.code not in spoken)
        assert lint(case.faulty, case.known, quiet) == ()
        return {code: Counter(lint(case.faulty, case.known, (BY_CODE[code],))) for code in spoken}

    return {case.name: alone(case) for case in cases}


def test_lint_is_the_sum_of_its_rules(cases, told):
    for case in cases:
        assert Counter(lint(case.faulty, case.known)) == sum(told[case.name].values(), Counter())
        for code, problems in told[case.name].items():
            assert {each.code for each in problems} == {code}


def test_every_rule_has_a_fault(cases):
    without = sorted(CODES - {case.code for case in cases})
    assert not without, f"write faults/CODE-what-is-wrong.yaml for {', '.join(without)} (see fault_reader)"
    assert {case.code for case in cases} - CODES == set()
    assert len(cases) == len({case.name for case in cases})


def test_every_fault_is_told_and_its_repair_is_not(cases, told):
    for case in cases:
        assert case.code in told[case.name], case.name
        assert case.code not in {each.code for each in lint(case.repaired, case.known)}, case.name


def test_one_rule_off_turns_exactly_its_own_cases_red(cases, told):
    for off in RULES:
        red = {case.name for case in cases if not set(told[case.name]) - {off.code} >= {case.code}}
        assert red == {case.name for case in cases if case.code == off.code}, off.code
        assert red


@pytest.mark.parametrize("off", RULES, ids=lambda rule: rule.code)
def test_lint_without_one_rule_is_silent_about_its_faults_alone(cases, told, off):
    """Run lint itself without the rule, over its own cases and over one of every other rule that speaks in them."""
    rest = tuple(rule for rule in RULES if rule is not off)
    for case in (each for each in cases if off.code in told[each.name]):
        assert {each.code for each in lint(case.faulty, case.known, rest)} == set(told[case.name]) - {
            off.code
        }
