"""Where a rule says that the API server refuses, the real one does; the smallest repair it takes (dry run, strict).

The files are those of tests/toolkit/lint/faults. Kinds that this server does not have are left out, and so are rules
about two objects at a time: of a dry run nothing stays that a second object could meet.
"""

from __future__ import annotations

import copy
from functools import cache

import pytest

from tests.cluster.api import Refused
from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.lint.check import RULES
from toolkit.lint.known_from_objects import known_from_objects
from toolkit.lint.surroundings import NOTHING_KNOWN

BY_CODE = {rule.code: rule for rule in RULES}
BESIDE_ANOTHER = {"L431"}
SAID = [
    fault
    for fault in FAULTS
    if BY_CODE[fault.code].why.lower().startswith("the api server")
    and "refuses" in BY_CODE[fault.code].why
    and fault.code not in BESIDE_ANOTHER
    and not fault.head("server")
]
AT_LEAST = {"L402", "L404", "L405", "L406", "L430", "L436", "L441", "L452"}
REFUSALS = (400, 403, 422)


@pytest.fixture
def answer(plane):
    """Give a function that asks the server to take a document; None when it does not have the kind."""

    @cache
    def resources(api_version):
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            listed = plane.api.get(root)["resources"]
        except Refused:
            return root, {}
        return root, {each["kind"]: each for each in listed if "/" not in each["name"]}

    def ask(document):
        root, kinds = resources(document.body["apiVersion"])
        if document.kind not in kinds:
            return None
        body, resource = copy.deepcopy(dict(document.body)), kinds[document.kind]
        if resource["namespaced"]:
            body["metadata"]["namespace"] = "default"
        where = f"{root}/namespaces/default" if resource["namespaced"] else root
        try:
            plane.api.request("POST", f"{where}/{resource['name']}?dryRun=All&fieldValidation=Strict", body)
        except Refused as error:
            return error
        return "taken"

    return ask


def told(fault):
    """Give the place of the document that the rule speaks of."""
    around = known_from_objects(fault.faulty, NOTHING_KNOWN)
    rule = BY_CODE[fault.code]
    return next(at for at, each in enumerate(fault.faulty) if any(rule.problems(each, around)))


@pytest.mark.slow
def test_what_a_rule_says_the_server_refuses_it_refuses(answer):
    asked, wrong = set(), {}
    for fault in SAID:
        at = told(fault)
        before = answer(fault.faulty[at])
        if before is None:
            continue
        after = answer(fault.repaired[at])
        if not isinstance(before, Refused) or before.code not in REFUSALS:
            wrong[fault.name] = f"as it was: {before}"
        elif after != "taken":
            wrong[fault.name] = f"repaired: {after}"
        asked.add(fault.code)
    assert wrong == {}
    assert asked >= AT_LEAST
