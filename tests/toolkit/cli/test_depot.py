"""`tiers depot`, as a process of its own and, where it ends at once, in this one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import pytest

from tests.ports import one_free_port
from tests.toolkit.registry.making import make_model
from toolkit.cli import main
from toolkit.fleet.broker import start_broker
from toolkit.link.link import Arrived
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.desired import decode_desired
from toolkit.wire.keyring import decode_keyring
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics

SITE = """\
registry: {registry}
broker: {{url: "mqtt://127.0.0.1:{port}"}}
hardware:
  laptop: {{arch: amd64, gpus: 0}}
tiers:
  edge: {{pools: {{demo: {{hardware: laptop, nodes: {{names: [box-1, box-2]}}}}}}}}
models:
  digits: {{source: digits@1, pools: [demo], precision: fp32, rollout: {{canary: 1, waves: [100%], soak: 0s}}}}
"""


@pytest.fixture
def site(tmp_path: Path, hospital_text: str) -> list[str]:
    """Give the options that name a site, its keys made."""
    assert main(["model", "keygen", str(tmp_path / "keys")]) == 0
    (tmp_path / "tiers.yaml").write_text(hospital_text)
    return ["-f", str(tmp_path / "tiers.yaml"), "-f", str(tmp_path / "site.yaml")]


def _write_site(tmp_path: Path, port: int) -> None:
    text = SITE.format(registry=(tmp_path / "registry").as_uri(), port=port)
    (tmp_path / "site.yaml").write_text(text)


def _heard(link: PahoLink, number: int) -> dict[str, bytes]:
    """Take what comes until messages on so many topics have, or two minutes are over."""
    got: dict[str, bytes] = {}
    deadline = time.monotonic() + 120
    while len(got) < number and time.monotonic() < deadline:
        with contextlib.suppress(Empty):
            event = link.events.get(timeout=1)
            if isinstance(event, Arrived):
                got[event.topic] = event.payload
    return got


@pytest.mark.broker
def test_serves_steers_and_ends_in_good_order(tmp_path: Path, site: list[str], wait_until) -> None:
    broker = start_broker(tmp_path / "broker", kind="mosquitto", choose=one_free_port)
    _write_site(tmp_path, broker.port)
    keys = tmp_path / "keys"
    trusting = ["--keyring", str(keys / "keyring.json"), "--key", str(keys / "operator.pem")]
    command = [sys.executable, "-m", "toolkit.cli", "depot", "--steer", *site, *trusting]
    log = tmp_path / "depot.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    topics = Topics("medical-imaging")
    link = PahoLink(settings_from_url(broker.url, "looker"))
    try:
        wait_until(lambda: "serves and steers medical-imaging" in log.read_text(), "the depot is ready")
        link.subscribe(topics.desired("+"), qos=1)
        link.subscribe(f"{topics.root}/a/+/m", qos=1)
        link.connect()
        model, golden = make_model(tmp_path / "m")
        pushed = ["--golden", str(golden), "--name", "digits", "--version", "1"]
        assert main(["model", "push", str(model), *pushed, "--key", str(keys / "registry.pem"), *site]) == 0
        assert main(["rollout", "start", "digits", *site, *trusting]) == 0
        got = _heard(link, 2)
        assert len(got) == 2, f"{list(got)}; the depot ({process.poll()}): {log.read_text()}"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        link.close()
        broker.stop()
    assert code == 0
    keyring = decode_keyring((keys / "keyring.json").read_bytes())
    (told,) = [topic for topic in got if topic.endswith("/desired")]
    device = topics.device_of(told)
    desired = decode_desired(unseal(got[told], "desired", keyring, what="it"), device)
    assert device in {"box-1", "box-2"}
    assert [(line.model, line.version) for line in desired.models] == [("digits", "1")]
    assert topics.manifest(desired.models[0].artifact) in got


def test_an_unreachable_broker_ends_it_with_5(
    tmp_path: Path, site: list[str], free_port, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    _write_site(tmp_path, port)
    keys = tmp_path / "keys"
    before = time.monotonic()
    arguments = ["depot", "--steer", *site, "--keyring", str(keys / "keyring.json")]
    previous = signal.getsignal(signal.SIGTERM)
    try:
        assert main([*arguments, "--key", str(keys / "operator.pem")]) == 5
    finally:
        signal.signal(signal.SIGTERM, previous)
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in said
    assert "--broker" in said
    assert time.monotonic() - before < 60


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--steer"], 2, "--key"),
        (["--rate", "fast"], 2, "is not a rate"),
        (["--broker", "http://x"], 2, "mqtt://HOST:PORT"),
        (["--broadcast", "soon"], 2, "is not a rate"),
        (["--metrics", "0.0.0.0:9109"], 2, "--tls-certificate"),
        (["--http", "0.0.0.0:8443"], 2, "--tls-certificate"),
        (["--http", "127.0.0.1:8443", "--client-ca", "ca.crt"], 2, "over TLS only"),
    ],
)
def test_what_was_typed_wrongly(
    tmp_path: Path, site: list[str], more: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_site(tmp_path, 1)
    assert main(["depot", *site, "--keyring", str(tmp_path / "keys" / "keyring.json"), *more]) == code
    assert says in capsys.readouterr().err
