"""The roles that doctor writes, given to somebody who may do nothing, on a cluster where everything works."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster.api import Api
from toolkit.cli import main
from toolkit.cluster.connect import connect
from toolkit.cluster.doctor.patient import Patient
from toolkit.cluster.doctor.rights import rights_are_there

RBAC = "rbac.authorization.k8s.io"
COMMANDS = (
    "diff",
    "apply --yes --adopt",
    "diff --exit-code",
    "status",
    "history",
    "job submit digits",
    "job list",
    "job status digits",
    "job suspend digits",
    "job resume digits",
    "job cancel digits --yes",
    "delete --yes",
)
"""What an operator types."""


def create(api: Api, body: dict) -> str:
    namespace = body["metadata"].get("namespace")
    within = f"/namespaces/{namespace}" if namespace else ""
    place = f"/apis/{RBAC}/v1{within}/{body['kind'].lower()}s"
    api.create(place, body)
    return f"{place}/{body['metadata']['name']}"


def binding(role: dict) -> dict:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": role["metadata"],
        "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [{"kind": "User", "name": "guest", "apiGroup": RBAC}],
    }


@pytest.fixture
def guest(site, tmp_path, hospital_text):
    """Give a hospital of its own, what `guest` lacks there, and the options of the commands."""
    own = site()
    own.api.create("/api/v1/namespaces", {"metadata": {"name": own.name}})
    config = own.plane.write_kubeconfig("guest")
    patient = Patient(connect(own.topology, "main", config), own.topology, own.objects)
    path = tmp_path / "tiers.yaml"
    path.write_text(hospital_text.replace("name: medical-imaging ", f"name: {own.name} "))
    return own, patient, ["--file", str(path), "--kubeconfig", str(config)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_the_roles_that_doctor_writes_no_command_is_refused_anything(guest, capsys, wait_until):
    own, patient, options = guest
    (problem,) = rights_are_there(patient)
    made = []
    try:
        for role in yaml.safe_load_all(problem.excerpt):
            made += [create(own.api, role), create(own.api, binding(role))]
        # The server's authorizer hears of a role a moment after the server has it.
        wait_until(lambda: not list(rights_are_there(patient)), "the server grants what the roles say")
        for command in COMMANDS:
            code = main([*command.split(), *options])
            told = capsys.readouterr()
            assert "forbidden" not in told.err + told.out, command
            assert code == 0, f"{command}: {told.err}"
    finally:
        for path in made:
            if not own.api.gone(path):
                own.api.delete(path)
