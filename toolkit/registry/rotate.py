"""Change whose seals count: add a key beside the old one, and take the old one out when nobody signs with it any more.

    add -> keyring to depots and devices -> sign with the new key -> retire -> keyring to depots and devices

Between `keys` and the commands of `tiers keyring`. A keyring file is replaced in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import get_args

from toolkit.errors import GateRefusedError, RegistryError, UsageError
from toolkit.registry.keys import make_key, read_key, read_keyring, write_keyring
from toolkit.wire.keyring import Keyring, Role, TrustedKey, key_id_of

MAX_KEYS = 64
"""Keys of a keyring; it has to fit into a document of 64 KiB with room to spare."""


def add_key(file: Path, key_file: Path, roles: Sequence[str]) -> Keyring:
    """Trust a key for these roles, beside what it may already sign.

    Args:
        file: the keyring.
        key_file: the private key; made, with mode 0600, if there is none.
        roles: what it may sign.

    Raises:
        UsageError: a role does not exist.
        RegistryError: a file cannot be read or written, or the keyring is full.
        SignatureError: the key is none, or others may read it.
        IntegrityError: the keyring is damaged.
    """
    wanted = [_role(each) for each in roles]
    with _alone(file):
        keyring = read_keyring(file)
        if not key_file.exists():
            make_key(key_file)
        public = read_key(key_file).public_key().public_bytes_raw()
        others = tuple(each for each in keyring.keys if each.public != public)
        known = next((each for each in keyring.keys if each.public == public), None)
        held = known.roles if known else ()
        changed = TrustedKey(
            public=public,
            roles=(*held, *(each for each in dict.fromkeys(wanted) if each not in held)),
            name=known.name if known else key_file.stem,
        )
        if len(others) >= MAX_KEYS:
            raise RegistryError(
                f"keyring {file} has {len(others)} keys",
                hint=f"retire old ones: tiers keyring retire {file} KEY",
            )
        if changed != known:
            places = keyring.keys if known else (*keyring.keys, changed)
            keys = tuple(changed if each.public == public else each for each in places)
            keyring = Keyring(keys=keys)
            write_keyring(file, keyring)
    return keyring


def retire_key(file: Path, key: str) -> Keyring:
    """Trust a key no longer.

    Args:
        file: the keyring.
        key: its id, or its name if only one key has it.

    Raises:
        UsageError: no key has that name, or several have.
        GateRefusedError: it is the last one of a role, so nobody could sign any more.
        RegistryError: the keyring cannot be read or written.
        IntegrityError: the keyring is damaged.
    """
    with _alone(file):
        keyring = read_keyring(file)
        found = [each for each in keyring.keys if key in (key_id_of(each.public), each.name)]
        if len(found) != 1:
            raise _not_one(file, keyring, key, len(found))
        left = tuple(each for each in keyring.keys if each is not found[0])
        for role in found[0].roles:
            if not any(role in each.roles for each in left):
                raise GateRefusedError(
                    f"{key} is the only key that may sign as {role}",
                    hint=f"first: tiers keyring add {file} NEW.pem --role {role}",
                )
        keyring = Keyring(keys=left)
        write_keyring(file, keyring)
    return keyring


def _role(text: str) -> Role:
    for role in get_args(Role):
        if text == role:
            return role  # type: ignore[no-any-return]  # get_args forgets what Literal holds
    near = get_close_matches(text, get_args(Role), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"there is no role {text!r}{meant}", hint=f"one of {', '.join(get_args(Role))}")


def _not_one(file: Path, keyring: Keyring, key: str, count: int) -> UsageError:
    if count:
        message = f"{count} keys of {file} are called {key!r}"
        return UsageError(message, hint=f"take its id: tiers keyring show {file}")
    names = [name for each in keyring.keys for name in (each.name, key_id_of(each.public))]
    near = get_close_matches(key, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return UsageError(f"{file} has no key {key!r}{meant}", hint=f"tiers keyring show {file}")


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Let one process at a time change a keyring; its folder is what they wait for, because the file is replaced."""
    try:
        descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        hint = "tiers model keygen FOLDER"
        raise RegistryError(f"keyring {file} cannot be read: {error.strerror}", hint=hint) from error
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)
