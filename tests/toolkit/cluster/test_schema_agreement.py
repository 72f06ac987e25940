"""Our schemas beside a real API server: what it refuses with strict checks, we refuse before there is a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.api import APPLY, Refused
from tests.cluster.crds import find_crds
from tests.cluster.plane import Plane
from tests.toolkit.lint.wrong_objects import NAMESPACE, WRONG, good
from toolkit.cluster.connect import connect
from toolkit.cluster.kinds import Kinds
from toolkit.lint.document import from_objects
from toolkit.lint.schema import schemas_from, validate

STRICT = "dryRun=All&fieldValidation=Strict&fieldManager=corpus"


@pytest.fixture(scope="module")
def server(plane: Plane, hospital, wait_until) -> Iterator[Server]:
    plane.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    yield Server(plane, Kinds(connect(hospital, "main", plane.kubeconfig)))
    plane.api.delete(f"/api/v1/namespaces/{NAMESPACE}")
    wait_until(lambda: plane.api.gone(f"/api/v1/namespaces/{NAMESPACE}"), f"{NAMESPACE} is gone")


class Server:
    """Asks the server for a dry run, the way apply does."""

    def __init__(self, plane: Plane, kinds: Kinds) -> None:
        self.plane, self.kinds = plane, kinds

    def refuses(self, body: dict, like: dict) -> str:
        """Give what the server says against an object; empty when it takes it.

        `like` is the good object: it gives the address where its own is spoiled.
        """
        resource = self.kinds.resource(like["apiVersion"], like["kind"])
        namespace = like["metadata"].get("namespace", "")
        name = body["metadata"].get("name")
        try:
            if name == like["metadata"]["name"]:
                path = resource.path(namespace, name)
                self.plane.api.request("PATCH", f"{path}?{STRICT}", body, APPLY)
            else:
                self.plane.api.request("POST", f"{resource.path(namespace)}?{STRICT}", body)
        except Refused as error:
            return str(error)
        return ""


def test_the_server_takes_every_good_object(server):
    assert {kind: server.refuses(body, body) for kind, body in good().items()} == dict.fromkeys(good(), "")


def test_we_refuse_nothing_of_what_a_server_has(plane):
    """Every object of every kind that a running cluster holds, with all that servers write into it."""
    schemas = schemas_from([find_crds()])
    groups = plane.api.get("/apis")["groups"]
    versions = ["v1", *(each["preferredVersion"]["groupVersion"] for each in groups)]
    checked = 0
    for version in versions:
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        for resource in plane.api.get(root)["resources"]:
            if "/" in resource["name"] or "list" not in resource["verbs"]:
                continue
            listed = plane.api.items(f"{root}/{resource['name']}")
            bodies = [{**each, "apiVersion": version, "kind": resource["kind"]} for each in listed]
            told = validate(from_objects(bodies), schemas)
            assert [str(each) for each in told.problems] == []
            assert told.unchecked == (), "no kind of a cluster is unknown"
            checked += len(bodies)
    assert checked > 300


def test_what_the_server_refuses_we_refuse(server):
    """Every entry of the corpus is refused by the server; ours says it too, or the entry says why it cannot."""
    schemas = schemas_from([find_crds()])
    taken, silent = [], []
    for wrong in WRONG:
        body = wrong.body()
        if not server.refuses(body, good()[wrong.kind]):
            taken.append(wrong.name)
        codes = {each.code for each in validate(from_objects([body]), schemas).problems}
        if not codes and not wrong.why_not:
            silent.append(wrong.name)
        assert not (codes and wrong.why_not), f"{wrong.name} is said, its reason is out of date"
    assert (taken, silent) == ([], [])
    assert len([each for each in WRONG if each.code]) >= 40
