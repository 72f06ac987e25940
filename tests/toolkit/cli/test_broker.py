"""`toolkit.cli.broker`: where a login comes from, where it never goes, and what is said when it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.cli.broker import link_settings
from toolkit.errors import UnreachableError, UsageError
from toolkit.topology.load import load_texts
from toolkit.topology.topology import Topology

TIERS_YAML = (Path(__file__).parents[3] / "tiers.yaml").read_text()


def site(broker: str) -> Topology:
    before, _, rest = TIERS_YAML.partition("broker:")
    _, _, after = rest.partition("\nclusters:")
    return load_texts({"tiers.yaml": f"{before}broker: {broker}\n\nclusters:{after}"}).topology


def test_the_login_of_a_file(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hush\n")
    found = link_settings(
        site(f'{{url: "mqtts://ops@b.example", credentials: {{file: {password}}}}}'), "", "me"
    )
    assert (found.username, found.password, found.port, found.client_id) == ("ops", "hush", 8883, "me")
    assert "hush" not in repr(found)


def test_the_login_of_a_variable() -> None:
    topology = site('{url: "mqtts://ops@b.example", credentials: {env: HOME}, ca: {file: /etc/ca.pem}}')
    found = link_settings(topology, "", "me")
    assert found.password
    assert found.tls is not None
    assert found.tls.ca_file == "/etc/ca.pem"
    with pytest.raises(UsageError, match="TIERS_NOT_SET_ANYWHERE is not set"):
        link_settings(site('{url: "mqtts://b", credentials: {env: TIERS_NOT_SET_ANYWHERE}}'), "", "me")


def test_a_login_never_goes_over_a_plain_connection() -> None:
    topology = site('{url: "mqtt://127.0.0.1", credentials: {file: /nowhere}, preset: aws}')
    found = link_settings(topology, "", "me")
    assert (found.password, found.tls, found.preset_name) == ("", None, "aws")


def test_a_secret_of_kubernetes_is_not_on_this_machine() -> None:
    with pytest.raises(UsageError, match="the Kubernetes Secret broker-login") as caught:
        link_settings(site('{url: "mqtts://b.example", credentials: {secret: broker-login}}'), "", "me")
    assert "broker.credentials: {file: PATH}" in caught.value.hint


def test_another_broker_and_a_file_that_is_not_there() -> None:
    topology = site('{url: "mqtts://b.example", credentials: {file: /nowhere}}')
    assert link_settings(topology, "mqtt://127.0.0.1:1999", "me").address == "127.0.0.1:1999"
    with pytest.raises(UnreachableError, match="/nowhere cannot be read"):
        link_settings(topology, "", "me")
