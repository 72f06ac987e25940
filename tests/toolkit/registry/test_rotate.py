"""Keys come and go: added beside the old, retired when nobody signs with them any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.errors import GateRefusedError, RegistryError, SignatureError, UsageError
from toolkit.registry.keys import make_site_keys, read_key, read_keyring
from toolkit.registry.rotate import MAX_KEYS, add_key, retire_key
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.keyring import Keyring
from toolkit.wire.signature import seal, unseal


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    return make_site_keys(tmp_path).keyring_file


def opens(keyring: Keyring, key_file: Path) -> bool:
    try:
        unseal(seal(b"x", "manifest", read_key(key_file)), "manifest", keyring, what="it")
    except SignatureError:
        return False
    return True


def test_old_and_new_count_until_the_old_is_retired(keyring: Path) -> None:
    old, new = keyring.parent / "registry.pem", keyring.parent / "registry-2.pem"
    both = add_key(keyring, new, ["registry"])
    assert add_key(keyring, new, ["registry"]) == both == read_keyring(keyring)
    assert (opens(both, old), opens(both, new)) == (True, True)
    after = retire_key(keyring, "registry")
    assert (opens(after, old), opens(after, new)) == (False, True)
    assert [key.name for key in read_keyring(keyring).keys] == ["operator", "registry-2"]


def test_a_keyring_has_the_lowest_number_that_can_say_its_roles(keyring: Path) -> None:
    assert read_keyring(keyring).format == 1
    assert add_key(keyring, keyring.parent / "receiver.pem", ["receiver"]).format == 2
    assert read_keyring(keyring).format == 2
    assert add_key(keyring, keyring.parent / "builder.pem", ["builder"]).format == 2


def test_the_last_of_a_role_stays(keyring: Path) -> None:
    before = keyring.read_bytes()
    with pytest.raises(GateRefusedError, match="only key that may sign as operator") as caught:
        retire_key(keyring, "operator")
    assert "tiers keyring add" in caught.value.hint
    assert keyring.read_bytes() == before


def test_a_role_more_for_a_key_that_is_there(keyring: Path) -> None:
    found = add_key(keyring, keyring.parent / "registry.pem", ["operator", "operator"])
    assert [key.roles for key in found.keys] == [("registry", "operator"), ("operator",)]


def test_what_is_typed_wrong(keyring: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'registry'"):
        add_key(keyring, tmp_path / "new.pem", ["registri"])
    assert not (tmp_path / "new.pem").exists()
    with pytest.raises(UsageError, match="did you mean 'operator'"):
        retire_key(keyring, "operatr")
    with pytest.raises(RegistryError, match=r"none/keyring\.json cannot be read"):
        retire_key(tmp_path / "none" / "keyring.json", "x")
    (tmp_path / "other").mkdir()
    add_key(keyring, tmp_path / "other" / "registry.pem", ["registry"])
    with pytest.raises(UsageError, match=r"2 keys .* are called 'registry'"):
        retire_key(keyring, "registry")


def test_a_keyring_has_an_end_and_fits_into_a_document(keyring: Path) -> None:
    for number in range(MAX_KEYS - 2):
        add_key(keyring, keyring.parent / f"key-{number}.pem", ["registry", "operator", "builder"])
    with pytest.raises(RegistryError, match="has 64 keys"):
        add_key(keyring, keyring.parent / "more.pem", ["registry"])
    assert keyring.stat().st_size < MAX_DOCUMENT_BYTES / 2


def test_two_at_once_lose_no_key(keyring: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from toolkit.registry.rotate import add_key\n"
        "file = Path(sys.argv[1])\n"
        "for n in range(8): add_key(file, file.with_name(f'{sys.argv[2]}-{n}.pem'), ['builder'])"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(keyring), each]) for each in "ab"]
    assert [each.wait(200) for each in both] == [0, 0]
    assert len(read_keyring(keyring).keys) == 18
