"""A real daemon behind a real broker answers questions that come by MQTT."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.contracts.link import arrival, connected
from tests.edge_runtime.conftest import DEVICE, MODEL, TOPICS
from toolkit.link.link import Letter
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.device_config import ServingConfig

pytestmark = pytest.mark.broker
CLIENT = "station-1"
QUESTION = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": [1, 0, 0, 0]}]}
).encode()


@pytest.fixture
def client(mosquitto):
    link = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{mosquitto.port}", CLIENT))
    link.subscribe(f"{TOPICS.answer(CLIENT, DEVICE)}/#", qos=1)
    yield connected(link)
    link.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_a_question_comes_and_its_answer_goes_over_the_broker(depot, device, keys, client, qos) -> None:
    device.config = msgspec.structs.replace(device.config, format=0, serving=ServingConfig(port=0, mqtt=True))
    device.write_config()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    own = TOPICS.answer(CLIENT, DEVICE)
    asked = TOPICS.question(DEVICE, MODEL, CLIENT)

    client.publish(asked, QUESTION, qos=qos, letter=Letter(f"{own}/a", b"\x01\x02", 60))
    answer = arrival(client, f"{own}/a")
    assert answer.letter is not None
    assert (answer.letter.correlation, dict(answer.letter.words)["status"]) == (b"\x01\x02", "200")
    said = json.loads(answer.payload)
    assert (said["model_version"], said["outputs"][0]["data"]) == ("v1", [0, 1, 2])

    client.publish(f"{asked}/plain", QUESTION, qos=qos)
    assert json.loads(arrival(client, f"{own}/plain").payload)["model_version"] == "v1"

    client.publish(TOPICS.question(DEVICE, "unknown", CLIENT), QUESTION, qos=qos)
    refusal = json.loads(arrival(client, own).payload)
    assert (refusal["status"], "unknown" in refusal["error"]) == (404, True)
    assert device.stop() == 0


def test_a_device_is_silent_unless_it_is_told_to_answer(depot, device, keys, client) -> None:
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    client.publish(TOPICS.question(DEVICE, MODEL, CLIENT), QUESTION, qos=1)
    assert client.flush(60)
    # What follows is decided by the device after the question has passed it by.
    depot.offer(keys.model("v2"))
    depot.wait_for_state("ACTIVE", "v2")
    assert client.events.empty()
