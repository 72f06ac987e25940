"""`tiers doctor --broker` against real brokers: what it finds on a sound one is nothing, and each flaw is found."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ports import one_free_port
from tests.toolkit.fleet.hostile import Ward
from toolkit.fleet.broker import start_broker
from toolkit.fleet.doctor import BrokerDiagnosis, examine_broker
from toolkit.link.settings import LinkSettings, TlsSettings, settings_from_url

pytestmark = pytest.mark.broker
SITE = "ward"
DAY = 86400


def look(settings: LinkSettings, days: float = 0) -> tuple[BrokerDiagnosis, list[str]]:
    found = examine_broker(settings, SITE, time.time() + days * DAY)
    return found, sorted(problem.code for problem in found.problems)


def plain(mosquitto, **changes: object) -> LinkSettings:
    return replace(settings_from_url(f"mqtt://127.0.0.1:{mosquitto.port}", "doctor-1"), **changes)  # type: ignore[arg-type]


@pytest.fixture
def ward(tmp_path: Path, free_port, wait_until, require):
    require("mosquitto")
    made = Ward(tmp_path / "ward", free_port())
    made.start()
    try:
        wait_until(made.answers, "the broker answers")
        yield made
    finally:
        made.stop()


def operator(ward: Ward, name: str = "tiers:operator") -> LinkSettings:
    return settings_from_url(f"mqtts://127.0.0.1:{ward.port}", "doctor-1", tls=ward.files_of(name))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_site_as_tiers_sets_it_up_has_no_findings(ward: Ward) -> None:
    found, codes = look(operator(ward))
    assert codes == []
    assert found.healthy
    facts = found.facts
    assert facts is not None
    assert (facts.mqtt5, facts.lets_anybody_in, facts.writes_anywhere) == (True, False, False)
    assert facts.tls_version in {"TLSv1.2", "TLSv1.3"}
    assert facts.full_frame_comes_back
    assert facts.max_packet_bytes == 2 * 256 * 1024
    assert facts.round_trip_seconds is not None
    _, soon = look(operator(ward), 720)
    assert soon == ["D905", "D905"]
    late, ended = look(operator(ward), 740)
    assert ended == ["D904", "D904"]
    assert not late.healthy


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_who_is_not_let_in_and_who_may_not_hear_itself(ward: Ward, free_port) -> None:
    nobody = replace(operator(ward), tls=TlsSettings(str(ward.authority / "ca.crt")))
    assert look(nobody)[1] == ["D901"]
    # Another authority: the broker is not who it should be.
    stranger = replace(operator(ward), tls=replace(ward.files_of("tiers:operator"), ca_file=""))
    found, codes = look(stranger)
    assert codes == ["D901"]
    assert "certificate verify failed" in found.problems[0].message
    assert look(settings_from_url(f"mqtt://127.0.0.1:{free_port()}", "doctor-1"))[1] == ["D901"]
    assert "D909" in look(operator(ward, "cart-1"))[1]  # a device has no echo


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_encrypted_and_open_to_everybody(ward: Ward, wait_until) -> None:
    ward.stop()
    config = ward.broker / "mosquitto.conf"
    text = config.read_text().replace("require_certificate true", "require_certificate false")
    text = text.replace("use_identity_as_username true", "use_identity_as_username false")
    text = text.replace("allow_anonymous false", "allow_anonymous true")
    lines = [line for line in text.splitlines() if not line.startswith("acl_file")]
    config.write_text("\n".join(lines) + "\n")
    ward.start(as_it_is=True)
    wait_until(ward.answers, "the broker answers")
    assert look(operator(ward))[1] == ["D906", "D907"]


@pytest.mark.parametrize(
    ("setting", "codes"),
    [
        ("max_packet_size 100000", ["D908"]),
        ("retain_available false", ["D910"]),
        ("max_qos 0", ["D909", "D912"]),
        ("max_inflight_messages 4", ["D915"]),
        ("acl_file {folder}/acl", ["D909"]),
    ],
)
def test_a_broker_that_cannot_take_what_we_send(mosquitto, setting: str, codes: list[str]) -> None:
    mosquitto.stop()
    (mosquitto.folder / "acl").write_text("topic write #\ntopic read nothing\n")
    mosquitto.settings = (*mosquitto.settings, setting.format(folder=mosquitto.folder))
    mosquitto.start()
    found, seen = look(plain(mosquitto))
    assert set(codes) <= set(seen), (seen, found.facts)
    clean, none = look(plain(mosquitto, preset_name="aws"))
    if codes == ["D908"]:
        assert none == ["D908"], clean.facts  # 100,000 bytes are less than 120 KiB too


def test_a_broker_on_this_machine_without_encryption_is_a_rehearsal(mosquitto) -> None:
    found, codes = look(plain(mosquitto))
    assert codes == []
    assert found.facts is not None
    assert found.facts.lets_anybody_in


def test_a_broker_of_3_1_1(tmp_path: Path, require) -> None:
    require("amqtt")
    broker = start_broker(tmp_path / "amqtt", kind="amqtt", choose=one_free_port)
    try:
        found, codes = look(settings_from_url(broker.url, "doctor-1"))
    finally:
        broker.stop()
    assert codes == ["D913"], found.facts
    assert found.facts is not None
    assert found.facts.full_frame_comes_back


def test_nothing_stays_behind(mosquitto) -> None:
    from tests.contracts.link import connected
    from toolkit.link.link import Arrived
    from toolkit.link.paho_link import PahoLink

    look(plain(mosquitto))
    watcher = PahoLink(plain(mosquitto, client_id="watcher"))
    watcher.subscribe("#")
    connected(watcher)
    watcher.publish("last", b"last", qos=1)
    event = watcher.events.get(timeout=60)
    watcher.close()
    assert isinstance(event, Arrived)
    assert event.topic == "last"
