from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from toolkit.errors import IntegrityError, RegistryError, SignatureError
from toolkit.registry.keys import (
    make_key,
    make_keyring,
    read_key,
    read_keyring,
    write_keyring,
)
from toolkit.wire.signature import seal, unseal


def test_a_key_and_its_keyring_go_round(tmp_path: Path) -> None:
    registry, operator = make_key(tmp_path / "k" / "registry.pem"), make_key(tmp_path / "k" / "operator.pem")
    assert stat.S_IMODE(registry.file.stat().st_mode) == 0o600
    write_keyring(tmp_path / "keyring.json", make_keyring({"registry": [registry], "operator": [operator]}))
    keyring = read_keyring(tmp_path / "keyring.json")
    sealed = seal(b"x", "manifest", read_key(registry.file))
    assert unseal(sealed, "manifest", keyring, what="it") == b"x"
    with pytest.raises(SignatureError, match="not trusted as registry"):
        unseal(seal(b"x", "manifest", read_key(operator.file)), "manifest", keyring, what="it")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    before = make_key(tmp_path / "a.pem").file.read_bytes()
    with pytest.raises(RegistryError, match="never overwritten"):
        make_key(tmp_path / "a.pem")
    assert (tmp_path / "a.pem").read_bytes() == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = make_key(tmp_path / "a.pem").file
    file.chmod(mode)
    with pytest.raises(SignatureError, match="read by others") as caught:
        read_key(file)
    assert caught.value.hint == f"chmod 600 {file}"


def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (other, b"secret text", b""):
        file = tmp_path / "a.pem"
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(SignatureError, match="not an unencrypted Ed25519 key") as caught:
            read_key(file)
        assert "secret" not in str(caught.value)
    with pytest.raises(RegistryError, match="cannot be read"):
        read_key(tmp_path / "none.pem")


def test_a_keyring_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        read_keyring(tmp_path / "none.json")
    (tmp_path / "k.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"keyring .*k\.json"):
        read_keyring(tmp_path / "k.json")
    with pytest.raises(RegistryError, match="cannot be written"):
        write_keyring(tmp_path / "none" / "k.json", make_keyring({}))
