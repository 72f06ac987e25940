"""What a device has to prove who it is, it uses: the files of its broker's configuration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.clock import Clock
from edge_runtime.drill import NO_DRILL
from edge_runtime.records import Records
from tests.contracts.enrolled import Enrolled
from toolkit.link.spoken import Speakers, read_spoken
from toolkit.wire.device_config import BrokerConfig, DeviceConfig
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.records import MAX_BATCH_BYTES, decode_batch
from toolkit.wire.topics import Topics

TOPICS, DEVICE = Topics("north"), "us-001"
PUBLIC = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
NAMED = Keyring(keys=(TrustedKey(public=PUBLIC, roles=("receiver",)),))


def first_message(folder: Path, keyring: Keyring, certificate_file: str = "", key_file: str = "") -> bytes:
    """Give what a device publishes when it reaches its broker."""
    broker = BrokerConfig(host="b", certificate_file=certificate_file, key_file=key_file)
    config = DeviceConfig(site="north", device=DEVICE, state=str(folder), keyring_file="k", broker=broker)
    records, sent = Records(config, folder / "outbox.sqlite", Clock(), NO_DRILL), []
    try:
        line = SimpleNamespace(records=sent.append)
        draining = records.drain(line, lambda call: call(), 100_000, topics=TOPICS, keyring=lambda: keyring)
        draining.connected()
    finally:
        records.close()
    return sent[0]


def test_an_enrolled_device_signs_what_it_sends(tmp_path: Path) -> None:
    site = Enrolled(tmp_path / "site")
    files = map(str, site.files(DEVICE))
    said = first_message(tmp_path, NAMED, *files)
    speakers = Speakers(site.authority_file)
    payload = speakers.open(said, TOPICS.records(DEVICE), DEVICE, limit=MAX_BATCH_BYTES)
    assert decode_batch(payload, DEVICE).device == DEVICE


def test_one_without_a_certificate_does_not(tmp_path: Path) -> None:
    assert read_spoken(first_message(tmp_path, NAMED), limit=MAX_BATCH_BYTES) is None


def test_one_whose_certificate_is_none_says_so_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "crt").write_text("no certificate")
    said = first_message(tmp_path, NAMED, str(tmp_path / "crt"), str(tmp_path / "key"))
    assert decode_batch(said, DEVICE).device == DEVICE
    assert "records are sent unsigned" in caplog.text
