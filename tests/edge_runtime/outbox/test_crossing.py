"""From the outbox into the receiver's files, whatever happens in between: each record once, in order, none lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.outbox import Entry, OutboxFile
from tests.contracts.enrolled import Enrolled
from tests.edge_runtime.outbox.crossing import DEVICE, TOPICS, Believes, Crossing
from toolkit.fleet.record_files import segments
from toolkit.fleet.records import RecordLimits
from toolkit.link.link import Arrived
from toolkit.link.spoken import Speakers, Spoken, read_spoken
from toolkit.protocol.buckets import Rate
from toolkit.wire.answer_seal import seal_answer
from toolkit.wire.document import encode_msgpack
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.records import (
    MAX_BATCH_BYTES,
    Record,
    RecordBatch,
    RecordsAnswer,
    decode_batch,
    encode_batch,
    encode_records_answer,
)


def entries(start: int, count: int, priority: int = 3, size: int = 100) -> list[Entry]:
    return [
        Entry("telemetry", priority, 1_700_000_000_000 + each, each, True, b"%d " % each + bytes(size))
        for each in range(start, start + count)
    ]


def assert_each_once_in_order(crossing: Crossing, accepted: dict[tuple[str, int], bytes]) -> None:
    """Look at the receiver's files: epoch and seq of every record, and its payload."""
    stored = crossing.stored()
    names = [(epoch, seq) for epoch, _, seq, _ in stored]
    assert len(set(names)) == len(names), "a record is there twice"
    assert {(epoch, seq): payload for epoch, _, seq, payload in stored} == accepted
    for epoch in {epoch for epoch, _ in names}:
        for priority in (1, 2, 3):
            row = [seq for each, its, seq, _ in stored if (each, its) == (epoch, priority)]
            assert row == sorted(row)


@pytest.mark.parametrize(
    "seed", [4, *(pytest.param(seed, marks=pytest.mark.faults) for seed in (2, 6, 7, 9, 11))]
)
def test_nothing_is_lost_or_doubled_by_faults_and_kills(tmp_path: Path, seed: int) -> None:
    crossing = Crossing(tmp_path, seed)
    source = crossing.source
    crossing.draining.connected()
    accepted: dict[tuple[str, int], bytes] = {}
    kills = 0
    for number in range(150):
        if number < 100:
            some = entries(
                number * 100, source.randrange(1, 60), source.choice((1, 2, 3, 3)), source.randrange(300)
            )
            first = crossing.outbox.put_all(some)
            for place, each in enumerate(some):
                accepted[crossing.outbox.epoch, first + place] = each.payload
        crossing.step(faults=0.3)
        dice = source.random()
        if dice < 0.04:
            crossing.kill_device()
        elif dice < 0.08:
            crossing.kill_receiver()
        elif dice < 0.12:
            crossing.draining.disconnected()
            crossing.draining.connected()
        kills += dice < 0.08
    crossing.drain()
    assert_each_once_in_order(crossing, accepted)
    assert crossing.outbox.dropped == (0, 0, 0)
    print(f"seed {seed}: {len(accepted)} records, {kills} kills, {crossing.receiver.counters}")
    assert kills > 3


def test_the_most_urgent_goes_first(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.outbox.put_all(entries(0, 500))
    crossing.outbox.put_all(entries(500, 3, 2))
    crossing.outbox.put_all(entries(503, 2, 1))
    crossing.draining.connected()
    crossing.drain()
    assert [seq for _, _, seq, _ in crossing.stored()[:6]] == [504, 505, 501, 502, 503, 1]


def test_an_answer_that_never_comes_costs_one_question_a_minute(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.outbox.put_all(entries(0, 1000))
    crossing.draining.connected()
    sent = 0
    for _ in range(3600):
        crossing.clock += 1
        crossing.draining.tick()
        sent += len(crossing.there)
        assert all(len(each) < 200 for each in crossing.there)
        crossing.there.clear()
    assert 30 < sent < 130
    crossing.drain()
    assert len(crossing.stored()) == 1000


def test_a_record_goes_at_once_when_the_line_is_idle(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.draining.connected()
    crossing.step()
    crossing.step()
    crossing.outbox.put_all(entries(0, 1))
    assert len(crossing.posted) == 1
    crossing.posted.pop()()
    crossing._do_posted()
    assert len(crossing.there) == 1, "no tick was needed"


def test_a_wiped_device_has_another_epoch(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.draining.connected()
    accepted = {}
    for _ in range(2):
        epoch = crossing.outbox.epoch
        accepted |= {(epoch, seq): each.payload for seq, each in enumerate(entries(0, 50), start=1)}
        crossing.outbox.put_all(entries(0, 50))
        crossing.drain()
        crossing.outbox.file.close()
        for path in crossing.file.parent.iterdir():
            path.unlink()
        crossing.start_device()
        crossing.draining.connected()
    assert_each_once_in_order(crossing, accepted)
    assert len(accepted) == 100


def test_an_old_copy_of_a_device_takes_another_epoch(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 10))
    copy = crossing.file.read_bytes(), crossing.file.with_name("outbox.sqlite-wal").read_bytes()
    crossing.outbox.put_all(entries(10, 40))
    crossing.drain()
    crossing.outbox.file.close()
    crossing.file.write_bytes(copy[0])
    crossing.file.with_name("outbox.sqlite-wal").write_bytes(copy[1])
    crossing.start_device()
    crossing.draining.connected()
    crossing.outbox.put_all(entries(100, 5))
    crossing.drain()
    stored = crossing.stored()
    assert len({epoch for epoch, *_ in stored}) == 2
    fresh = {payload for *_, payload in stored}
    assert {each.payload for each in entries(100, 5)} <= fresh


def test_a_receiver_that_lost_everything_goes_on_from_where_the_device_is(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 50))
    crossing.drain()
    crossing.kill_receiver()
    for path in (crossing.at / DEVICE).iterdir():
        path.unlink()
    (crossing.at / DEVICE).rmdir()
    crossing.outbox.put_all(entries(50, 50))
    crossing.drain()
    assert [seq for _, _, seq, _ in crossing.stored()] == list(range(51, 101))


def test_what_the_budget_drops_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crossing = Crossing(tmp_path, budget=2 * 1024 * 1024)
    put = 0
    while not crossing.outbox.dropped[2]:
        put += len(some := entries(put, 100, size=1000))
        crossing.outbox.put_all(some)
    crossing.draining.connected()
    crossing.drain()
    dropped = crossing.outbox.dropped[2]
    assert [seq for _, _, seq, _ in crossing.stored()] == list(range(dropped + 1, put + 1))
    assert f"(0, 0, {dropped})" in caplog.text


def test_a_full_receiver_makes_the_device_wait_and_loses_nothing(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path, limits=RecordLimits(device_bytes=100_000))
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 600, size=150))
    crossing.outbox.put_all(entries(600, 600, size=150))
    for _ in range(300):
        crossing.step()
    held = sum(path.stat().st_size for path in segments(crossing.at / DEVICE))
    assert 100_000 <= held < 100_000 + 16 * 40_000, "a window more, no more than that"
    assert crossing.draining.problem == "its part of the receiver's disk is full"
    assert crossing.receiver.counters.refused["full"] < 10
    before = [name[2] for name in crossing.stored()]
    crossing.receiver._limits = RecordLimits()
    crossing.drain()
    assert [name[2] for name in crossing.stored()] == list(range(1, 1201))
    assert len(before) < 1200


def test_a_device_is_held_to_its_rate(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path, limits=RecordLimits(rate=Rate(2_000, 20_000)))
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 600, size=100))
    crossing.drain()
    assert crossing.clock > 25, "about 80 kB at 2 kB/s, the first 20 at once"
    assert [name[2] for name in crossing.stored()] == list(range(1, 601))


def test_hostile_batches_are_counted_and_take_nothing(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    topic = TOPICS.records(DEVICE)
    for payload in (b"", b"\xff" * 100, b"\x00" * 2_000_000):
        crossing.receiver.take([Arrived(topic, payload)])
    crossing.draining.connected()
    crossing.receiver.take([Arrived(TOPICS.records("us-002"), crossing.there[0])])
    assert crossing.receiver.counters.refused["unreadable"] == 4
    assert not any(path.is_dir() for path in crossing.at.iterdir())
    assert crossing.back == []


def test_an_outbox_can_be_opened_after_it_was_drained(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 10))
    crossing.drain()
    crossing.outbox.file.close()
    outbox = OutboxFile(crossing.file, crossing.budget)
    assert (outbox.fill().records, outbox.last_seq) == ((0, 0, 0), 10)
    outbox.close()


# ---------------------------------------------------------------- answers that are sealed, or not
def trusting(key: Ed25519PrivateKey, role: str = "receiver") -> Keyring:
    return Keyring(keys=(TrustedKey(public=key.public_key().public_bytes_raw(), roles=(role,), name="r"),))


def key_of(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))


def test_records_go_to_a_receiver_that_seals_and_whom_the_device_trusts(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path, believes=Believes(key_of(1), trusting(key_of(1))))
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 50, 2))
    crossing.drain()
    assert len(crossing.stored()) == 50
    assert crossing.draining.problem == ""


def test_a_receiver_may_seal_before_the_devices_know_its_key(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path, believes=Believes(key_of(1), trusting(key_of(2), "operator")))
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 1))
    crossing.drain()
    crossing.keyring = trusting(key_of(1))  # the keyring file is another by now
    crossing.outbox.put_all(entries(1, 1))
    crossing.drain()
    assert len(crossing.stored()) == 2


@pytest.mark.parametrize("key", [None, key_of(2)], ids=["unsealed", "by another key"])
def test_nothing_is_deleted_for_an_answer_that_is_not_sealed_by_the_receiver(
    tmp_path: Path, key: Ed25519PrivateKey | None, caplog: pytest.LogCaptureFixture
) -> None:
    crossing = Crossing(tmp_path, believes=Believes(key, trusting(key_of(1))))
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 5, 2))
    for _ in range(200):
        crossing.step()
    assert crossing.outbox.fill().records == (0, 5, 0)
    assert "seal" in crossing.draining.problem
    assert caplog.text.count("records stay here for now") == 1
    crossing.key = key_of(1)
    crossing.kill_receiver()
    crossing.drain()
    assert crossing.draining.problem == ""


def test_a_lying_broker_makes_a_device_delete_nothing(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path, believes=Believes(key_of(1), trusting(key_of(1))))
    crossing.outbox.put_all(entries(0, 5, 2))
    crossing.draining.connected()
    batch = decode_batch(crossing.there[-1], DEVICE)
    lie = encode_records_answer(RecordsAnswer(epoch=batch.epoch, round=batch.round, stored=(5, 5, 5)))
    to_another = TOPICS.records_answer("us-002")
    for each in (
        lie,
        seal_answer(lie, TOPICS.records_answer(DEVICE), "", key_of(2)),
        seal_answer(lie, to_another, "", key_of(1)),
        seal_answer(lie, TOPICS.records_answer(DEVICE), "", key_of(1)).replace(lie, lie[:-1] + b"\x06"),
    ):
        crossing.draining.arrived(each)
        assert crossing.outbox.fill().records == (0, 5, 0)
    crossing.draining.arrived(seal_answer(lie, TOPICS.records_answer(DEVICE), "", key_of(1)))
    assert crossing.outbox.fill().records == (0, 0, 0)  # the same from the receiver


# ---------------------------------------------------------------- batches that are signed, or not
@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    return Enrolled(tmp_path_factory.mktemp("authority"))


def signing(enrolled: Enrolled) -> Believes:
    speakers = Speakers(enrolled.authority_file)
    return Believes(key_of(1), trusting(key_of(1)), enrolled.signer(DEVICE), speakers)


def test_nothing_is_lost_or_doubled_where_each_side_proves_who_it_is(
    tmp_path: Path, enrolled: Enrolled
) -> None:
    crossing = Crossing(tmp_path, 3, believes=signing(enrolled))
    crossing.draining.connected()
    accepted: dict[tuple[str, int], bytes] = {}
    for number in range(30):
        some = entries(number * 100, 20, 1 + number % 3)
        first = crossing.outbox.put_all(some)
        accepted |= {(crossing.outbox.epoch, first + place): each.payload for place, each in enumerate(some)}
        crossing.step(faults=0.3)
        if number in (10, 20):
            crossing.kill_receiver()
    crossing.drain()
    assert_each_once_in_order(crossing, accepted)
    assert not crossing.receiver.counters.refused["unsigned"]


def test_a_lying_broker_puts_nothing_in_the_place_of_what_a_device_sent(
    tmp_path: Path, enrolled: Enrolled
) -> None:
    crossing = Crossing(tmp_path, believes=signing(enrolled))
    crossing.outbox.put_all(entries(0, 5, 2))
    crossing.draining.connected()
    asked = read_spoken(crossing.there.pop(), limit=MAX_BATCH_BYTES)
    assert asked is not None
    batch = decode_batch(asked.payload, DEVICE)
    records = tuple(Record(seq, "telemetry", 0, 0, False, b"forged") for seq in range(1, 6))
    forged = encode_batch(RecordBatch(device=DEVICE, epoch=batch.epoch, round=1, priority=2, records=records))
    stranger = enrolled.signer("us-002")
    for each in (
        forged,
        stranger.sign(forged, TOPICS.records(DEVICE)),
        encode_msgpack(Spoken(certificate=asked.certificate, value=asked.value, payload=forged)),
    ):
        crossing._to_receiver(each)
    assert crossing.receiver.counters.refused == {"unsigned": 3}
    assert crossing.back == []
    crossing.draining.connected()
    crossing.drain()
    assert [payload for *_, payload in crossing.stored()] == [each.payload for each in entries(0, 5, 2)]


def test_a_receiver_without_an_authority_takes_signed_batches_too(tmp_path: Path, enrolled: Enrolled) -> None:
    believes = signing(enrolled)
    believes.speakers = None
    crossing = Crossing(tmp_path, believes=believes)
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 5))
    crossing.drain()
    assert len(crossing.stored()) == 5


def test_a_device_that_knows_no_receiver_signs_nothing_for_old_ones_would_not_understand(
    tmp_path: Path, enrolled: Enrolled
) -> None:
    crossing = Crossing(tmp_path, believes=Believes(signer=enrolled.signer(DEVICE)))
    crossing.draining.connected()
    decode_batch(crossing.there[-1], DEVICE)
