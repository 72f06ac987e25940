"""Each object of tests/golden is accepted by the real API server, unknown fields refused (dry run: nothing stays)."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest

from tests.cluster.api import Refused
from toolkit.render.objects import render
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[3]
CASES = sorted(path.name for path in (REPOSITORY / "tests" / "golden").iterdir() if path.is_dir())
THERE = "default"
"""A namespace and a queue that are there: a dry run makes none."""


@pytest.fixture
def path_of(plane):
    """Give the path under which objects of a rendered object's kind are created, as the server itself lists it."""

    @cache
    def resources(api_version):
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        listed = plane.api.get(root)["resources"]
        return root, {each["kind"]: each for each in listed if "/" not in each["name"]}

    def find(each):
        root, kinds = resources(each.api_version)
        resource = kinds[each.kind]
        assert resource["namespaced"] == bool(each.namespace), each.file_name
        return (
            f"{root}/namespaces/{THERE}/{resource['name']}"
            if each.namespace
            else f"{root}/{resource['name']}"
        )

    return find


def made_alone(each) -> dict:
    """Give an object as it can be made where nothing else of its topology is."""
    body = copy.deepcopy(dict(each.body))
    if each.namespace:
        body["metadata"]["namespace"] = THERE
    if each.kind == "Job":
        body["spec"]["queue"] = THERE
    if each.kind == "Queue":
        body["spec"].pop("parent", None)
    return body


@pytest.mark.parametrize("case", CASES)
def test_the_server_takes_every_object(case, plane, path_of):
    own = REPOSITORY / "tests" / "golden" / case / "tiers.yaml"
    topology = load([own if own.is_file() else REPOSITORY / "tiers.yaml"]).topology
    refused = {}
    for each in render(topology):
        try:
            path = f"{path_of(each)}?dryRun=All&fieldValidation=Strict"
            plane.api.request("POST", path, made_alone(each))
        except Refused as error:
            refused[each.file_name] = error.body[:500]
    assert refused == {}
