"""Start and change: what stands on the broker afterwards, what is refused, and that a repetition is harmless."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toolkit.fleet.pretend import STRANGER, World
from tests.toolkit.registry.making import Site
from toolkit.errors import RegistryError, RolloutError, SignatureError, UnreachableError
from toolkit.fleet.reports import Watch, open_watch
from toolkit.fleet.rollout import KEPT_ROLLOUTS, Started, StartRequest, change, start
from toolkit.link.memory_link import MemoryLink
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.keys import make_key, make_keyring
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.rollout import decode_rollout
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics

TOPICS = Topics("medical-imaging")


class Office:
    """An operator's desk: a registry with digits 1 and 2, the hospital with digits on two boxes, and a broker."""

    def __init__(self, site: Site, topology, *, names=("box-1", "box-2", "box-3", "box-4")) -> None:
        self.site = site
        self.world = World()
        boxes = {"hardware": "jetson-orin-nx", "nodes": {"names": list(names)}}
        digits = {
            "source": "digits@1",
            "pools": ["boxes"],
            "rollout": {"canary": 1, "waves": ["50%", "100%"], "soak": "2m"},
        }
        changes = {"tiers": {"edge": {"pools": {"boxes": boxes}}}, "models": {"digits": digits}}
        self.topology = topology(changes)
        self.artifacts = {each: site.push(version=each, width=100, head=int(each)).artifact for each in "12"}

    def watch(self) -> Watch:
        watch = Watch(MemoryLink(self.world.broker), TOPICS, self.site.keyring, name="desk", quiet_seconds=0)
        watch.begin()
        watch.link.connect()
        watch.settle()
        return watch

    def start(self, model: str = "digits", **request) -> Started:
        asked = StartRequest(model, **request)
        return start(
            self.watch(), self.topology, self.site.store, self.site.key, asked, keyring=self.site.keyring
        )

    def change(self, name: str, what: str) -> Started:
        return change(self.watch(), self.site.key, name, what)

    def retained(self) -> dict[str, bytes]:
        return self.world.broker._retained


@pytest.fixture
def office(site: Site, topology) -> Office:
    return Office(site, topology)


def test_start_leaves_a_sealed_rollout_and_the_very_manifest_of_the_registry(office: Office) -> None:
    started = office.start()
    rollout = started.rollout
    stands = office.retained()
    assert set(stands) == {TOPICS.rollout("digits-1-1"), TOPICS.manifest(office.artifacts["1"])}
    payload = unseal(stands[TOPICS.rollout("digits-1-1")], "rollout", office.site.keyring, what="it")
    assert decode_rollout(payload) == rollout
    assert stands[TOPICS.manifest(office.artifacts["1"])] == office.site.store.get_sealed(
        office.artifacts["1"]
    )
    spec = rollout.spec
    assert (spec.model, spec.version, spec.artifact) == ("digits", "1", office.artifacts["1"])
    assert sorted(spec.devices) == ["box-1", "box-2", "box-3", "box-4"]
    assert [wave.devices for wave in spec.waves] == [1, 2, 4]
    assert (spec.soak_seconds, spec.max_failed, spec.previous_version) == (120.0, 0, "")
    assert (rollout.number, rollout.seq, rollout.action, started.repeated, started.notes) == (
        1,
        1,
        "run",
        False,
        (),
    )


def test_what_must_not_wait_for_a_window_says_so(office: Office) -> None:
    assert not office.start().rollout.spec.now
    assert office.start(version="2", now=True).rollout.spec.now


def test_services_that_answer_for_the_model_follow_and_a_new_one_is_a_new_rollout(office: Office) -> None:
    assert office.start().rollout.spec.followers == ()
    service = office.topology.services["medical-ai"].model_copy(update={"models": ("digits",)})
    office.topology = office.topology.model_copy(update={"services": {"answers": service}})
    later = office.start()
    assert (later.repeated, later.rollout.spec.followers) == (False, ("answers",))
    assert "answers" not in later.rollout.spec.devices, "nobody waits for servers"
    assert office.start().repeated


def test_the_next_one_has_the_next_number_knows_the_last_and_says_drift(office: Office) -> None:
    office.start()
    second = office.start(version="2")
    assert (second.rollout.name, second.rollout.number) == ("digits-2-2", 2)
    assert (second.rollout.spec.previous_version, second.rollout.spec.previous_artifact) == (
        "1",
        office.artifacts["1"],
    )
    assert second.notes == (
        "drift: tiers.yaml says digits 1, this rollout brings 2; write it there when it is to stay",
    )


def test_repeating_it_writes_no_second_rollout(office: Office) -> None:
    first = office.start(version="2")
    before = office.retained().copy()
    again = office.start(version="2")
    assert (again.rollout, again.repeated) == (first.rollout, True)
    assert office.retained() == before


def test_other_devices_are_another_rollout(office: Office) -> None:
    office.start(devices=("box-3",))
    second = office.start()
    assert (second.repeated, second.rollout.name, len(second.rollout.spec.devices)) == (
        False,
        "digits-1-2",
        4,
    )


def test_after_an_abort_it_begins_anew(office: Office) -> None:
    office.start()
    office.change("digits-1-1", "abort")
    assert office.start().rollout.name == "digits-1-2"


def test_a_name_of_ones_own_is_taken_once(office: Office) -> None:
    assert office.start(name="friday").rollout.name == "friday"
    with pytest.raises(RolloutError, match="there is a rollout friday already, of digits 1"):
        office.start(name="friday", version="2")


def test_a_version_that_is_not_there_names_those_that_are(office: Office) -> None:
    with pytest.raises(RegistryError, match="no version 9 of digits; it has 1, 2") as caught:
        office.start(version="9")
    assert "tiers model push" in caught.value.hint
    assert office.retained() == {}


def test_a_manifest_that_nobody_trusted_signed_is_not_shipped(office: Office, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger.pem")
    keyring = make_keyring({"registry": [stranger], "operator": [office.site.pair]})
    with pytest.raises(SignatureError, match="not trusted as registry"):
        start(
            office.watch(),
            office.topology,
            office.site.store,
            office.site.key,
            StartRequest("digits"),
            keyring=keyring,
        )
    assert office.retained() == {}


def test_without_a_keyring_the_devices_are_left_to_check_the_manifest(office: Office) -> None:
    started = start(
        office.watch(), office.topology, office.site.store, office.site.key, StartRequest("digits")
    )
    assert started.rollout.spec.artifact == office.artifacts["1"]
    with pytest.raises(RegistryError, match="no version 9"):
        start(
            office.watch(), office.topology, office.site.store, office.site.key, StartRequest("digits", "9")
        )


def test_a_key_that_nobody_trusts_writes_no_rollout(office: Office) -> None:
    with pytest.raises(
        SignatureError, match=r"digits-1-1, with this --key, is signed by .* not trusted as operator"
    ):
        start(office.watch(), office.topology, office.site.store, STRANGER, StartRequest("digits"))
    assert TOPICS.rollout("digits-1-1") not in office.retained()


@pytest.mark.broker
def test_a_broker_that_does_not_let_us_write_is_told(office: Office, mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    rules = tmp_path / "rules"
    rules.write_text(f"topic read {TOPICS.root}/#\ntopic write {TOPICS.root}/e/#\n")
    mosquitto.settings = (*mosquitto.settings, f"acl_file {rules}")
    mosquitto.start()
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    watch = open_watch(
        PahoLink(settings_from_url(url, "desk")), TOPICS, office.site.keyring, name="desk", address=url
    )
    with pytest.raises(UnreachableError, match="does not show it: look at its access rules"):
        start(watch, office.topology, office.site.store, office.site.key, StartRequest("digits"))
    watch.close()


def test_a_rollout_that_does_not_fit_into_a_document_is_refused(site: Site, topology) -> None:
    names = [f"{'long-name-of-a-machine-' * 2}{number:04d}" for number in range(1600)]
    office = Office(site, topology, names=names)
    with pytest.raises(RolloutError, match=f"names 1600 devices, .*ends at {MAX_DOCUMENT_BYTES}"):
        office.start()
    assert TOPICS.rollout("digits-1-1") not in office.retained()


def test_measured_conditions_of_tiers_yaml_stand_in_the_rollout(site: Site, topology) -> None:
    office = Office(site, topology)
    office.topology = topology({"models": {"us-segmentation": {"source": "us-segmentation@1"}}})
    site.push("us-segmentation", "1", width=100)
    spec = office.start("us-segmentation").rollout.spec
    assert (spec.measured.error_rate, spec.measured.p99_seconds, spec.on_failure) == (0.01, 0.5, "take-back")


def test_old_rollouts_are_cleared_from_the_broker(office: Office) -> None:
    for _ in range(KEPT_ROLLOUTS + 3):
        name = office.start().rollout.name
        office.change(name, "abort")
    assert len(office.watch().retained.rollouts) == KEPT_ROLLOUTS
    assert office.start().rollout.number == KEPT_ROLLOUTS + 4


def test_pause_and_resume_are_the_same_document_with_higher_numbers(office: Office) -> None:
    started = office.start().rollout
    paused = office.change("digits-1-1", "pause")
    assert (paused.rollout.action, paused.rollout.seq, paused.rollout.spec) == ("pause", 2, started.spec)
    assert office.change("digits-1-1", "pause").repeated
    assert office.watch().retained.rollouts["digits-1-1"].seq == 2
    assert office.change("digits-1-1", "resume").rollout.seq == 3
    assert office.change("digits-1-1", "resume").repeated


def test_what_was_stopped_stays_stopped(office: Office) -> None:
    office.start()
    office.change("digits-1-1", "abort")
    for what in ("pause", "resume"):
        with pytest.raises(RolloutError, match=f"was aborted, so there is nothing to {what}"):
            office.change("digits-1-1", what)
    office.change("digits-1-1", "rollback")
    with pytest.raises(RolloutError, match="was rolled back") as caught:
        office.change("digits-1-1", "abort")
    assert caught.value.hint == "tiers rollout start digits"


def test_only_the_newest_rollout_of_a_model_can_be_changed(office: Office) -> None:
    office.start()
    office.start(version="2")
    with pytest.raises(RolloutError, match="digits-2-2 has brought digits 2 since") as caught:
        office.change("digits-1-1", "rollback")
    assert caught.value.hint == "tiers rollout rollback digits-2-2"


def test_a_rollout_that_is_not_there_or_not_believed(office: Office) -> None:
    with pytest.raises(RolloutError, match="no rollout 'friday'"):
        office.change("friday", "abort")
    office.start(name="friday")
    forged = office.retained()[TOPICS.rollout("friday")].replace(b'"value":"', b'"value":"AAAA')
    office.world.operator.publish(TOPICS.rollout("friday"), forged, qos=1, retain=True)
    with pytest.raises(RolloutError, match=r"friday cannot be believed: .*does not hold"):
        office.change("friday", "abort")
