"""Which client library a link is made of; and what both of them tell a broker of MQTT 5."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.contracts.link import connected
from toolkit.link.choose import make_link
from toolkit.link.limits import STALE_SECONDS
from toolkit.link.settings import settings_from_url

_WITHOUT = """
import sys
sys.modules["awscrt"] = None
from dataclasses import replace
from toolkit.errors import MissingExtraError
from toolkit.link.choose import make_link
from toolkit.link.settings import settings_from_url
settings = settings_from_url("mqtt://127.0.0.1:1", "me")
make_link(settings)
try:
    make_link(replace(settings, client="awscrt"))
except MissingExtraError as error:
    print(error.message, "|", error.hint)
"""


def test_without_the_extra_the_error_names_the_install_line() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "broker.client awscrt needs the extra 'awscrt', which is not installed | pip install 'tiers[awscrt]'\n"
    )


@pytest.mark.broker
@pytest.mark.parametrize("client", ["paho", "awscrt"])
def test_what_is_sent_at_qos_0_expires_and_what_must_arrive_does_not(mosquitto, require, client: str) -> None:
    if client == "awscrt":
        require("awscrt")
    came: dict[str, object] = {}
    ready, done = threading.Event(), threading.Event()
    reader = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    reader.on_subscribe = lambda *_: ready.set()

    def on_message(_client: Client, _data: object, message) -> None:
        came[message.topic] = getattr(message.properties, "MessageExpiryInterval", None)
        if message.topic == "sure":
            done.set()

    reader.on_message = on_message
    reader.connect("127.0.0.1", mosquitto.port)
    reader.loop_start()
    reader.subscribe("#")
    assert ready.wait(60)
    link = make_link(replace(settings_from_url(f"mqtt://127.0.0.1:{mosquitto.port}", "w"), client=client))
    connected(link)
    link.publish("maybe", b"1")
    link.publish("sure", b"1", qos=1)
    arrived = done.wait(60)
    link.close()
    reader.disconnect()
    reader.loop_stop()
    assert arrived
    assert came["sure"] is None
    assert 0 < came["maybe"] <= STALE_SECONDS
