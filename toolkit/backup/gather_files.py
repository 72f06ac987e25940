"""Files of a site for a backup: tiers.yaml and what stands beside it, keyrings, the register; keys only wrapped.

A file that holds a private key is refused, by what is in it and not by its name: a backup goes where others may read.
A key is taken in when it is asked for, and then encrypted with another key that stays outside.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.backup.part import MAX_FILE_BYTES, Item, Part, known
from toolkit.errors import GateRefusedError, UsageError
from toolkit.wire.cipher import SALT_BYTES, decrypt_object, encrypt_object
from toolkit.wire.cipher_keys import CipherKeys

FILES = "files"
KEYS = "keys"
_PRIVATE = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|^tiers-key-\d", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=-]{0,199}")


def gather_files(files: Sequence[Path]) -> Part:
    """Give the part of a backup that holds files of a site, each under its own name.

    Raises:
        UsageError: one cannot be read, has a name that a backup does not take, or two have the same name.
        GateRefusedError: one holds a private key.
    """
    items = {name: _read(file) for name, file in _named(files).items()}
    for name, data in items.items():
        if _PRIVATE.search(data):
            raise GateRefusedError(
                f"{name} holds a private key, and a backup goes where others may read it",
                hint="leave it out; --with-key FILE --wrap-with KEYFILE takes a key in encrypted",
            )
    return Part(FILES, [known(name, data) for name, data in items.items()])


def gather_keys(files: Sequence[Path], wrap: CipherKeys) -> Part:
    """Give the part of a backup that holds private keys, each encrypted with a key that is not in the backup.

    Raises:
        UsageError: as `gather_files`.
        GateRefusedError: one of them is what the others are encrypted with.
    """
    items: list[Item] = []
    for name, file in _named(files).items():
        data = _read(file)
        if any(key_id.encode() in data for key_id in _ids_of(wrap)):
            raise GateRefusedError(
                f"{file} is the key that keys are wrapped with; inside it would be of no use",
                hint="make one for backups alone: tiers sync keygen FILE, and keep it elsewhere",
            )
        salt = secrets.token_bytes(SALT_BYTES)
        items.append(known(name, encrypt_object(data, wrap.newest, f"{KEYS}/{name}", salt)))
    return Part(KEYS, items)


def unwrap_key(data: bytes, name: str, wrap: CipherKeys) -> bytes:
    """Give a private key of a backup.

    Raises:
        IntegrityError: it is encrypted with another key, or was damaged.
    """
    return decrypt_object(data, wrap, f"{KEYS}/{name}", what=f"key {name} of the backup")


def _named(files: Sequence[Path]) -> Mapping[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        if not _NAME.fullmatch(file.name):
            raise UsageError(
                f"{file}: a backup takes no file of this name", hint="rename it: letters, digits, ._-"
            )
        if file.name in named:
            raise UsageError(f"{file} and {named[file.name]} have the same name", hint="rename one of them")
        named[file.name] = file
    return named


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint=f"ls -l {file}") from error
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"{file} has more than {MAX_FILE_BYTES >> 20} MiB", hint="leave it out")
    return data


def _ids_of(keys: CipherKeys) -> list[str]:
    return [key.key_id for key in keys.keys]
