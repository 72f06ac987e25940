"""The file with the keys of a storage: made once, guarded like a private key, grown by one key at a rotation.

`tiers sync keygen` makes and grows it; `open_storage` reads it for each Remote that is encrypted. The lines in it are
`wire.cipher_keys`'. Whoever loses it loses everything that is encrypted with it, so it wants a copy on paper or in a
safe; nothing of ours ever puts it where the data are.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.whole import sync_folder, write_whole
from toolkit.wire.cipher_keys import KEY_BYTES, CipherKey, CipherKeys, decode_keys, encode_key

MAX_KEY_FILE_BYTES = 64 * 1024
_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BEYOND_THE_GROUP = stat.S_IWGRP | stat.S_IRWXO
_HEADING = (
    "# Key of a tiers storage. Who has it can read the data; without it nobody can, ever.\n"
    "# Keep a copy where the data are not. Add keys at the end only; never take one out.\n"
)


def make_key_file(file: Path) -> CipherKeys:
    """Make a key and write it to a new file, readable by its owner only.

    Raises:
        UsageError: the file is there (a key is never overwritten), or cannot be written.
    """
    key = CipherKey(secrets.token_bytes(KEY_BYTES))
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(f"{_HEADING}{encode_key(key)}\n")
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(file.parent)
    except FileExistsError as error:
        hint = f"tiers sync keygen --add {file} puts a new key into it; old ones stay"
        raise UsageError(f"{file} is there already; a key is never overwritten", hint=hint) from error
    except OSError as error:
        raise UsageError(
            f"key file {file} cannot be written: {error.strerror}", hint="name another place"
        ) from error
    return CipherKeys((key,))


def add_key(file: Path) -> CipherKeys:
    """Put a new key at the end of a key file: from now on it encrypts, and those before it go on reading.

    Raises:
        UsageError: the file cannot be read or written; it is as it was.
        IntegrityError: it holds no keys, or others may read it.
    """
    before = read_key_file(file)
    key = CipherKey(secrets.token_bytes(KEY_BYTES))
    text = _text_of(file).rstrip("\n")
    data = f"{text}\n{encode_key(key)}\n"
    keys = decode_keys(data, what=f"key file {file}")
    if keys.keys != (*before.keys, key):
        raise IntegrityError(f"key file {file} changed while it was read", hint="say it again")
    try:
        write_whole(file, data.encode(), mode=0o600)
    except OSError as error:
        raise UsageError(f"key file {file} cannot be written: {error.strerror}") from error
    return keys


def read_key_file(file: Path) -> CipherKeys:
    """Read the keys of a storage.

    Raises:
        UsageError: the file cannot be read.
        IntegrityError: it holds no keys, or others may read it.
    """
    return decode_keys(_text_of(file), what=f"key file {file}")


def open_to_others(mode: int, *, owner: int, user: int) -> bool:
    """Tell whether more people than its user may read a key.

    A file of the user's own is for nobody else. One that somebody else gave, as Kubernetes mounts a Secret (owner root,
    mode 0440, the pod is of the group: kubernetes.io/docs/concepts/configuration/secret), may be read by the group.

    Args:
        mode: st_mode of the file.
        owner: number of the user that the file belongs to.
        user: number of the user that reads it.
    """
    return bool(mode & (_READABLE_BY_OTHERS if owner == user else _BEYOND_THE_GROUP))


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            data = stream.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        hint = f"tiers sync keygen {file} makes one; a storage that holds data already needs the one it was begun with"
        raise UsageError(f"key file {file} cannot be read: {error.strerror}", hint=hint) from error
    if open_to_others(facts.st_mode, owner=facts.st_uid, user=os.geteuid()):
        message = f"key file {file} can be read by others (mode {stat.S_IMODE(facts.st_mode):o})"
        raise IntegrityError(message, hint=f"chmod 600 {file}")
    if len(data) > MAX_KEY_FILE_BYTES:
        raise IntegrityError(f"key file {file} has more than {MAX_KEY_FILE_BYTES} bytes")
    return data.decode("utf-8", errors="replace")
