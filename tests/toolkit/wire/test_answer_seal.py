"""Answers that make a device delete: whose count, and to what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import IntegrityError, SignatureError
from toolkit.wire.answer_seal import SEAL_BYTES, SealedAnswer, receive_answer, seal_answer
from toolkit.wire.document import encode_msgpack
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.records import RecordsAnswer, encode_records_answer
from toolkit.wire.store_call import StoreAnswer, StoreCall, digest_of_call, encode_answer

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in (1, 2))
TOPIC, ABOUT, PAYLOAD = "tiers/1/north/d/us-001/ack", "abc", b"it is stored"
VECTOR = Path(__file__).parent / "vectors" / "sealed_answer-1.json"


def trusting(key=KEY, role="receiver"):
    return Keyring(keys=(TrustedKey(public=key.public_key().public_bytes_raw(), roles=(role,)),))


def check(data, topic=TOPIC, about=ABOUT, keyring=None):
    received = receive_answer(data, limit=1000)
    received.check(topic, about, keyring or trusting())
    return received.payload


def test_the_answer_of_a_receiver_counts_and_costs_little():
    data = seal_answer(PAYLOAD, TOPIC, ABOUT, KEY)
    assert check(data) == PAYLOAD
    assert len(data) <= len(PAYLOAD) + SEAL_BYTES


def test_the_vector_of_format_1_is_read_and_written():
    frozen = json.loads(VECTOR.read_text())
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(frozen["key"]))
    data = bytes.fromhex(frozen["sealed"])
    assert check(data, frozen["topic"], frozen["about"], trusting(key)) == bytes.fromhex(frozen["payload"])
    assert seal_answer(bytes.fromhex(frozen["payload"]), frozen["topic"], frozen["about"], key) == data


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (seal_answer(PAYLOAD, TOPIC.replace("001", "002"), ABOUT, KEY), "does not hold"),
        (seal_answer(PAYLOAD, TOPIC, "abd", KEY), "does not hold"),
        (seal_answer(PAYLOAD, TOPIC, ABOUT, KEY).replace(b"it is", b"it as"), "does not hold"),
        (seal_answer(PAYLOAD, TOPIC, ABOUT, OTHER), "not trusted as receiver"),
        (PAYLOAD, "not sealed"),
        (encode_records_answer(RecordsAnswer(epoch="0" * 16, round=1, stored=(9, 9, 9))), "not sealed"),
        (encode_answer(StoreAnswer(call="00000000-1", done=True, stored=True)), "not sealed"),
    ],
    ids=["device", "question", "answer", "key", "bytes", "records", "store"],
)
def test_no_other_answer_counts_where_a_receiver_is_named(data, match):
    with pytest.raises(SignatureError, match=match):
        check(data)


def test_a_key_of_another_role_seals_nothing():
    both = Keyring(keys=(*trusting(OTHER, "operator").keys, *trusting().keys))
    with pytest.raises(SignatureError, match="not trusted as receiver"):
        check(seal_answer(PAYLOAD, TOPIC, ABOUT, OTHER), keyring=both)


@pytest.mark.parametrize("data", [PAYLOAD, seal_answer(PAYLOAD, TOPIC, ABOUT, OTHER)], ids=["bare", "sealed"])
def test_where_no_receiver_is_named_both_kinds_are_taken(data):
    assert check(data, keyring=trusting(KEY, "operator")) == PAYLOAD


def test_what_is_too_large_or_newer_is_no_sealed_answer():
    assert receive_answer(seal_answer(bytes(1200), TOPIC, ABOUT, KEY), limit=1000).sealed is None
    newer = SealedAnswer(format=2, key="a", value=b"b", payload=PAYLOAD)
    with pytest.raises(IntegrityError, match="format 2"):
        receive_answer(encode_msgpack(newer), limit=1000)


def test_a_call_has_one_digest_for_all_its_pieces_and_others_have_others():
    call = StoreCall(
        device="a", call="00000000-1", operation="new", key="k", total=9, digest="d", piece_bytes=4
    )
    changes = ("device", "b"), ("call", "00000000-2"), ("operation", "write"), ("key", "l"), ("digest", "e")
    numbers = [(name, 3) for name in ("start", "length", "total", "piece_bytes")]
    others = {digest_of_call(changed(call, **{name: value})) for name, value in (*changes, *numbers)}
    assert len(others) == len(changes) + len(numbers)
    assert digest_of_call(call) not in others
    assert digest_of_call(changed(call, piece=1, data=b"x", answer=False)) == digest_of_call(call)


def changed(asked, **values):
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return StoreCall(**{**fields, **values})
