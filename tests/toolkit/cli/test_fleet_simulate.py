from __future__ import annotations

import json

import pytest

from toolkit.cli import main
from toolkit.link.link import Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.document import encode_json
from toolkit.wire.report import Presence
from toolkit.wire.topics import Topics


@pytest.mark.parametrize(
    ("arguments", "code", "cure"),
    [
        (["--waves", "a,b"], 2, "--waves 10%"),
        (["--limit", "3"], 2, "--limit 10%"),
        (["--broken", "1%,2%"], 2, "--broken 10%"),
        (["--broker", "http://elsewhere"], 2, "mqtt://HOST:PORT"),
        (["--site", "Not a site"], 6, "lower-case"),
        (["--prefix", "A/B"], 6, "lower-case"),
    ],
)
def test_bad_input_says_the_cure(capsys, arguments, code, cure):
    assert main(["fleet", "simulate", *arguments]) == code
    assert cure in capsys.readouterr().err


def test_names_that_exist_are_left_alone(mosquitto, capsys, wait_until):
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    link = PahoLink(settings_from_url(url, "a-real-device"))
    topics = Topics("north")
    presence = encode_json(Presence(device="sim-00007", state="offline"))
    link.publish(topics.presence("sim-00007"), presence, qos=1, retain=True)
    link.connect()
    wait_until(lambda: link.flush(1), "the broker has it")
    arguments = ["fleet", "simulate", "--broker", url, "--devices", "10"]
    assert main([*arguments, "--site", "north"]) == 2
    error = capsys.readouterr().err
    assert "sim-00007" in error
    assert "--prefix" in error
    # What stood there still stands there.
    link.subscribe(topics.presence("+"), qos=1)
    wait_until(
        lambda: any(getattr(each, "payload", b"") == presence for each in list(link.events.queue)), "it"
    )
    link.close()


@pytest.mark.slow
def test_a_rehearsal_on_a_broker_leaves_nothing_behind(mosquitto, capsys, wait_until):
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    arguments = ["--devices", "30", "--waves", "50%,100%", "--limit", "20%", "--broken", "40%", "--soak", "0"]
    assert main(["fleet", "simulate", "--broker", url, *arguments, "--json"]) == 0
    played = json.loads(capsys.readouterr().out)
    assert [each["state"] for each in played["acts"]] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert played["devices"] == played["back"] == 30
    link = PahoLink(settings_from_url(url, "looks"))
    link.subscribe("tiers/#", qos=1)
    link.subscribe("end", qos=1)
    link.connect()
    # Only when the subscriptions stand is it sure that the end comes back to us, after all that is retained.
    wait_until(lambda: any(isinstance(each, Connected) for each in list(link.events.queue)), "a connection")
    link.publish("end", b"", qos=1)
    wait_until(
        lambda: any(getattr(each, "topic", "") == "end" for each in list(link.events.queue)), "the end"
    )
    retained = [each.topic for each in list(link.events.queue) if getattr(each, "payload", b"")]
    link.close()
    assert retained == []


@pytest.mark.slow
@pytest.mark.broker
def test_rules_under_which_it_does_not_end_well_are_a_refused_gate(capsys):
    arguments = ["--devices", "20", "--waves", "100%", "--limit", "100%", "--broken", "40%", "--soak", "0"]
    assert main(["fleet", "simulate", *arguments]) == 7
    said = capsys.readouterr()
    assert "SUCCEEDED" in said.out
    assert "--waves with a larger canary" in said.err
