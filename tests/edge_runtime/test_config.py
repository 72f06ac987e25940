"""Who a daemon is: a device by its own name, or one of several processes that are one device to the fleet."""

from __future__ import annotations

import json

import pytest

from edge_runtime.back import open_link
from edge_runtime.config import read_settings
from edge_runtime.store import Store
from toolkit.errors import IntegrityError
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.topics import Topics


@pytest.fixture
def settings(tmp_path):
    def read(node_name, **changes):
        (tmp_path / "keyring.json").write_bytes(encode_json(Keyring()))
        whole = {"format": 1, "site": "north", "state": "state", "keyring_file": "keyring.json"}
        whole |= {"broker": {"host": "127.0.0.1", "tls": False}, **changes}
        (tmp_path / "config.json").write_text(json.dumps(whole))
        return read_settings(tmp_path / "config.json", node_name)

    return read


@pytest.mark.parametrize("given", [{}, {"device": "us-001"}])
def test_a_device_is_one_process(settings, given):
    found = settings("us-001", **given)
    assert (found.config.device, found.instance) == ("us-001", "")


def test_pods_of_a_service_are_one_device_and_told_apart_by_their_names(settings):
    found = settings("reading-7c9f8b6d5-x2b7q", device="reading")
    assert (found.config.device, found.instance) == ("reading", "reading-7c9f8b6d5-x2b7q")
    topics = Topics("north")
    ids = {open_link(found.config, topics, each)._settings.client_id for each in ("", found.instance)}
    assert ids == {"edge-north-reading", "edge-north-reading-reading-7c9f8b6d5-x2b7q"}


def test_a_client_id_ends_in_what_nobody_can_guess_and_stays(settings, tmp_path):
    config, marks = settings("us-001").config, []
    for folder in ("one", "one", "two"):
        (tmp_path / folder).mkdir(exist_ok=True)
        store = Store(tmp_path / folder / "edge.sqlite")
        marks.append(store.client_mark())
        store.close()
    assert marks[0] == marks[1] != marks[2]
    assert len(marks[0]) == 16
    link = open_link(config, Topics("north"), "", marks[0])
    assert link._settings.client_id == f"edge-north-us-001-{marks[0]}"


def test_a_name_that_no_broker_should_see_is_refused(settings):
    with pytest.raises(IntegrityError, match="NODE_NAME"):
        settings("a/b", device="reading")


def test_files_of_what_it_serves_with_lie_beside_the_configuration(settings, tmp_path):
    serving = settings("x", serving={"certificate_file": "tls.crt", "key_file": "/etc/key"}).config.serving
    assert serving.certificate_file == str(tmp_path / "tls.crt")
    assert serving.key_file == "/etc/key"
    assert serving.token_file == ""


def test_files_of_an_offload_lie_there_too(settings, tmp_path):
    offload = {"url": "https://hot.example:8080", "ca_file": "hot.crt", "token_file": "/etc/token"}
    model, other = settings(
        "x", format=3, models=[{"name": "m", "offload": offload}, {"name": "n"}]
    ).config.models
    assert (model.offload.ca_file, model.offload.token_file) == (str(tmp_path / "hot.crt"), "/etc/token")
    assert other.offload is None


def test_the_key_of_kept_answers_lies_there_too(settings, tmp_path):
    kept = {"key_file": "answers.key"}
    (model,) = settings("x", format=3, models=[{"name": "m", "cache": kept}]).config.models
    assert model.cache.key_file == str(tmp_path / "answers.key")
