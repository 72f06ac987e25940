"""Enrolment on the device: `tiers-edge enroll` makes a key and a request, and takes in its own answer only."""

from __future__ import annotations

import stat
from datetime import datetime, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.__main__ import main
from edge_runtime.config import read_settings
from edge_runtime.identity import take_answer
from tests.toolkit.render.clinic import clinic
from toolkit.errors import IntegrityError, UsageError
from toolkit.fleet.authority import make_authority
from toolkit.fleet.enroll import Policy, enroll
from toolkit.wire.device_config import BrokerConfig, DeviceConfig
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring, TrustedKey

SITE = clinic()
PUBLIC = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
KEYRING = Keyring(keys=(TrustedKey(public=PUBLIC, roles=("registry", "operator"), name="site"),))


def device_in(folder: Path, name: str) -> Path:
    config = DeviceConfig(
        site=SITE.name,
        device=name,
        state="state",
        keyring_file="identity/keyring.json",
        broker=BrokerConfig(
            host="broker.clinic.example",
            ca_file="identity/ca.crt",
            certificate_file="identity/device.crt",
            key_file="identity/device.key",
        ),
    )
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(encode_json(config))
    return folder / "config.json"


def answer_to(request: Path, folder: Path, keyring: Keyring = KEYRING) -> Path:
    now = datetime.now(timezone.utc)
    make_authority(folder / "authority", SITE.name, now)
    ca = (folder / "authority" / "ca.crt").read_text()
    (welcome,) = enroll(SITE, folder / "authority", [request], folder / "answers", Policy(keyring, ca), now)
    assert welcome.answer_file is not None
    return welcome.answer_file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return device_in(tmp_path / "cart-1", "cart-1")


def test_from_nothing_to_enrolled(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(config, "")
    assert "tiers-edge enroll" in caught.value.hint
    assert main(["enroll", "--config", str(config)]) == 0
    key, request = config.parent / "identity/device.key", config.parent / "identity/device.csr"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    first = key.read_bytes(), request.read_bytes()
    assert main(["enroll", "--config", str(config)]) == 0
    assert (key.read_bytes(), request.read_bytes()) == first
    said = capsys.readouterr()
    assert "key made" in said.out
    assert "key was there" in said.out
    assert key.read_text().splitlines()[1] not in said.out + said.err
    answer = answer_to(request, tmp_path)
    for _ in range(2):
        assert main(["enroll", "--config", str(config), "--answer", str(answer)]) == 0
    assert "cart-1 is enrolled until" in capsys.readouterr().out
    settings = read_settings(config, "")
    assert settings.keyring == KEYRING
    assert Path(settings.config.broker.certificate_file).read_text().startswith("-----BEGIN CERTIFICATE")
    assert settings.config.broker.ca_file == str(config.parent / "identity/ca.crt")


def test_a_request_that_a_kill_left_half_is_made_again(config: Path) -> None:
    assert main(["enroll", "--config", str(config)]) == 0
    request = config.parent / "identity/device.csr"
    request.write_bytes(request.read_bytes()[:40])
    assert main(["enroll", "--config", str(config)]) == 0
    assert request.read_text().rstrip().endswith("-----END CERTIFICATE REQUEST-----")


def test_answers_that_are_not_its_own(config: Path, tmp_path: Path) -> None:
    other = device_in(tmp_path / "cart-2", "cart-2")
    for each in (config, other):
        assert main(["enroll", "--config", str(each)]) == 0
    theirs = answer_to(other.parent / "identity/device.csr", tmp_path)
    with pytest.raises(IntegrityError, match="is for cart-2"):
        take_answer(config, "", theirs)
    mine = answer_to(config.parent / "identity/device.csr", tmp_path)
    renamed = tmp_path / "renamed.json"
    renamed.write_bytes(theirs.read_bytes().replace(b'"cart-2"', b'"cart-1"'))
    with pytest.raises(IntegrityError, match=r"another key than|not in the name of cart-1"):
        take_answer(config, "", renamed)
    (config.parent / "identity/device.key").unlink()
    assert main(["enroll", "--config", str(config)]) == 0  # a new key, after the answer was made
    with pytest.raises(IntegrityError, match="another key than"):
        take_answer(config, "", mine)
    for damaged in (mine.read_bytes()[:-20], b"x" * 100_000):
        renamed.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            take_answer(config, "", renamed)
    assert not (config.parent / "identity/device.crt").exists()
    assert not (config.parent / "identity/keyring.json").exists()


def test_an_answer_that_trusts_nobody(config: Path, tmp_path: Path) -> None:
    assert main(["enroll", "--config", str(config)]) == 0
    answer = answer_to(config.parent / "identity/device.csr", tmp_path, Keyring())
    with pytest.raises(IntegrityError, match="trusts nobody"):
        take_answer(config, "", answer)


def test_no_place_for_a_key_and_one_that_others_may_read(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enroll", "--config", str(config)]) == 0
    (config.parent / "identity/device.key").chmod(0o644)
    assert main(["enroll", "--config", str(config)]) == IntegrityError.exit_code
    assert "chmod 600" in capsys.readouterr().err
    plain = DeviceConfig(
        site="s", device="d", state="state", keyring_file="k", broker=BrokerConfig(host="b", tls=False)
    )
    config.write_bytes(encode_json(plain))
    assert main(["enroll", "--config", str(config)]) == UsageError.exit_code
    assert "broker.key_file" in capsys.readouterr().err
