"""Keys that sign, and the keyring that says which of them are trusted for what.

The registry's key seals manifests, the operator's key seals what devices shall run; a small site may use one for both.
Private keys are Ed25519 in PKCS#8 PEM files of mode 0600. Comes before `push` and `fleet.rollout`; the keyring goes to
every device and depot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from toolkit.errors import RegistryError, SignatureError
from toolkit.sync.key_file import open_to_others
from toolkit.sync.whole import write_whole
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring, Role, TrustedKey, decode_keyring, key_id_of

REGISTRY_KEY_FILE = "registry.pem"
OPERATOR_KEY_FILE = "operator.pem"
KEYRING_FILE = "keyring.json"
_MAX_KEY_BYTES = 16 * 1024


@dataclass(frozen=True)
class KeyPair:
    """A key that was made: where its private part lies, and its public part."""

    file: Path
    name: str
    public: bytes

    @property
    def key_id(self) -> str:
        """How signatures name it."""
        return key_id_of(self.public)


@dataclass(frozen=True)
class SiteKeys:
    """The keys of a new site."""

    registry: KeyPair
    """Seals manifests; belongs to who pushes models."""
    operator: KeyPair
    """Seals what devices shall run; belongs to who starts rollouts, and to the driver."""
    keyring_file: Path
    """Goes to every device and depot."""


def make_key(file: Path) -> KeyPair:
    """Make an Ed25519 key and write its private part, readable by its owner only.

    Raises:
        RegistryError: the file is there already (a key is never overwritten), or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        hint = "take another folder, or go on with that key"
        raise RegistryError(f"{file} is there already; a key is never overwritten", hint=hint) from error
    except OSError as error:
        raise RegistryError(f"key {file} cannot be written: {error.strerror}") from error
    return KeyPair(file, file.stem, private.public_key().public_bytes_raw())


def make_site_keys(folder: Path) -> SiteKeys:
    """Make what a new site needs: a key for the registry, one for the operator, and the keyring that trusts both.

    Raises:
        RegistryError: one of the files is there already, or cannot be written; nothing is overwritten.
    """
    keyring_file = folder / KEYRING_FILE
    for file in (folder / REGISTRY_KEY_FILE, folder / OPERATOR_KEY_FILE, keyring_file):
        if file.exists():
            hint = "take another folder, or go on with those keys"
            raise RegistryError(f"{file} is there already; keys are never overwritten", hint=hint)
    registry, operator = make_key(folder / REGISTRY_KEY_FILE), make_key(folder / OPERATOR_KEY_FILE)
    write_keyring(keyring_file, make_keyring({"registry": [registry], "operator": [operator]}))
    return SiteKeys(registry, operator, keyring_file)


def read_key(file: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        RegistryError: it cannot be read.
        SignatureError: others may read it too, or it is not an unencrypted Ed25519 key.
    """
    try:
        with file.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            pem = stream.read(_MAX_KEY_BYTES)
    except OSError as error:
        hint = "tiers model keygen FOLDER"
        raise RegistryError(f"key {file} cannot be read: {error.strerror}", hint=hint) from error
    if open_to_others(facts.st_mode, owner=facts.st_uid, user=os.geteuid()):
        raise SignatureError(
            f"key {file} can be read by others (mode {stat.S_IMODE(facts.st_mode):o})",
            hint=f"chmod 600 {file}",
        )
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(file) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(file)
    return key


def make_keyring(roles_of: Mapping[Role, Iterable[KeyPair]]) -> Keyring:
    """Make a keyring that trusts each key for the roles under which it stands."""
    roles: dict[KeyPair, list[Role]] = {}
    for role, pairs in roles_of.items():
        for pair in pairs:
            roles.setdefault(pair, []).append(role)
    keys = (TrustedKey(public=pair.public, roles=tuple(each), name=pair.name) for pair, each in roles.items())
    return Keyring(keys=tuple(keys))


def write_keyring(file: Path, keyring: Keyring) -> None:
    """Write a keyring in one step; it holds public keys only.

    Raises:
        RegistryError: it cannot be written.
    """
    try:
        write_whole(file, encode_json(keyring) + b"\n", mode=0o644)
    except OSError as error:
        raise RegistryError(f"keyring {file} cannot be written: {error.strerror}") from error


def read_keyring(file: Path) -> Keyring:
    """Read a keyring.

    Raises:
        RegistryError: it cannot be read.
        IntegrityError: it is not a keyring.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        hint = "tiers model keygen FOLDER"
        raise RegistryError(f"keyring {file} cannot be read: {error.strerror}", hint=hint) from error
    return decode_keyring(data, what=f"keyring {file}")


def _no_key(file: Path) -> SignatureError:
    return SignatureError(
        f"{file} is not an unencrypted Ed25519 key in PEM", hint="tiers model keygen FOLDER makes one"
    )
