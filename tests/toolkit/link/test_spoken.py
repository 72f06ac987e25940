"""Who says something, past a broker that may lie."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.contracts.enrolled import NOW, Enrolled
from toolkit.errors import IntegrityError, SignatureError, UsageError
from toolkit.fleet.register import Enrolled as Entry
from toolkit.link.spoken import SPOKEN_BYTES, Signer, Speakers, read_spoken
from toolkit.wire.document import encode_msgpack

VECTOR = Path(__file__).parents[1] / "wire" / "vectors" / "spoken-1.json"
TOPIC, PAYLOAD, LIMIT = "tiers/1/north/d/us-001/rec", b"what I put down", 1000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    return Enrolled(tmp_path_factory.mktemp("site"))


def hear(site, data, topic=TOPIC, device="us-001", speakers=None):
    return (speakers or Speakers(site.authority_file)).open(data, topic, device, limit=LIMIT)


def test_a_device_is_heard(site):
    data = site.signer("us-001").sign(PAYLOAD, TOPIC)
    assert hear(site, data) == PAYLOAD
    assert len(data) <= len(PAYLOAD) + SPOKEN_BYTES // 4


def test_a_key_of_rsa_signs_too(site):
    certificate_file, key_file = site.files("rsa-1")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate = site.authority.sign("rsa-1", key.public_key(), 30, NOW)
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    assert hear(site, Signer(certificate_file, key_file).sign(PAYLOAD, TOPIC), device="rsa-1") == PAYLOAD


def test_the_vector_of_format_1_is_read(tmp_path):
    frozen = json.loads(VECTOR.read_text())
    (tmp_path / "ca.crt").write_text(frozen["authority"])
    speakers = Speakers(tmp_path / "ca.crt", now=lambda: datetime.fromtimestamp(frozen["at"], timezone.utc))
    said = speakers.open(bytes.fromhex(frozen["spoken"]), frozen["topic"], frozen["device"], limit=LIMIT)
    assert said == bytes.fromhex(frozen["payload"])


def test_nobody_else_is(site, tmp_path):
    elsewhere, signer = Enrolled(tmp_path), site.signer("us-001")
    data = signer.sign(PAYLOAD, TOPIC)
    for match, bad in {
        "not signed": PAYLOAD,
        "signed by another": site.signer("us-002").sign(PAYLOAD, TOPIC),
        "no certificate of this site": elsewhere.signer("us-001").sign(PAYLOAD, TOPIC),
        "not one of a client": site.signer("us-001", hosts=("localhost",)).sign(PAYLOAD, TOPIC),
        "does not hold at this time": site.signer("us-001", now=NOW - timedelta(days=60), days=30).sign(
            PAYLOAD, TOPIC
        ),
    }.items():
        with pytest.raises(SignatureError, match=match):
            hear(site, bad)
    spoken = read_spoken(data, limit=LIMIT)
    for changed in ({"payload": b"x"}, {"value": b"x" * 70}, {"value": b""}):
        fields = {name: getattr(spoken, name) for name in spoken.__struct_fields__}
        with pytest.raises(SignatureError, match="does not hold"):
            hear(site, encode_msgpack(type(spoken)(**{**fields, **changed})))
    with pytest.raises(SignatureError, match="does not hold"):
        hear(site, data, topic=TOPIC.replace("rec", "put"))
    fields = {name: getattr(spoken, name) for name in spoken.__struct_fields__}
    with pytest.raises(SignatureError, match="no certificate"):
        hear(site, encode_msgpack(type(spoken)(**{**fields, "certificate": b"x"})))
    with pytest.raises(IntegrityError):
        hear(site, signer.sign(bytes(LIMIT + SPOKEN_BYTES), TOPIC)[: LIMIT + SPOKEN_BYTES] + bytes(9))


def test_who_is_revoked_is_heard_no_more_without_a_restart(tmp_path):
    site = Enrolled(tmp_path)
    data = site.signer("us-001").sign(PAYLOAD, TOPIC)
    speakers = Speakers(site.authority_file)
    assert hear(site, data, speakers=speakers) == PAYLOAD
    serial = x509.load_pem_x509_certificate((tmp_path / "us-001.crt").read_bytes()).serial_number
    entry = Entry(
        name="us-001", serial=f"{serial:x}", key="k", not_before=0, not_after=2**31,
        revoked_at=int(NOW.timestamp()), reason="lost",
    )  # fmt: skip
    register = type(site.register)(site="north", list_number=2, entries=(entry,))
    crl = site.authority_file.with_name("ca.crl")
    crl.write_bytes(b"damaged")
    assert hear(site, data, speakers=speakers) == PAYLOAD
    crl.write_bytes(site.authority.revoke(register, NOW))
    with pytest.raises(SignatureError, match="was revoked"):
        hear(site, data, speakers=speakers)


def test_a_renewed_certificate_is_used_without_a_restart(site):
    files = site.files("us-003", now=NOW - timedelta(days=60), days=30)
    os.utime(files[0], (1, 1))  # two months ago, and not in the same tick of the file system's clock
    signer = Signer(*files)
    site.files("us-003")
    assert hear(site, signer.sign(PAYLOAD, TOPIC), device="us-003") == PAYLOAD
    (site.folder / "us-003.crt").write_text("half a certifi")
    assert hear(site, signer.sign(PAYLOAD, TOPIC), device="us-003") == PAYLOAD


def test_what_is_no_certificate_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read") as caught:
        Speakers(tmp_path / "ca.crt")
    assert "--authority" in caught.value.hint
    (tmp_path / "ca.crt").write_text("x")
    with pytest.raises(UsageError, match="not a certificate"):
        Speakers(tmp_path / "ca.crt")
    with pytest.raises(IntegrityError, match="not a certificate"):
        Signer(tmp_path / "ca.crt", tmp_path / "key")
