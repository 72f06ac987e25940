"""Empty a device before it is given away, repaired or enrolled anew: the work of `tiers-edge wipe`.

What tiers-edge has put into its state folder goes, and the secrets that its configuration names: private key,
password, the outbox' key. Keys are overwritten before they are deleted. That is a best effort: a flash disk may keep an
old copy of a block where no file system sees it, so a device whose disk leaves the house is revoked as well
(`tiers device revoke`). Foreign files stay. A wipe that was cut off is simply run again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edge_runtime.folders import Folders, remove
from toolkit.errors import StoreError
from toolkit.sync.whole import sync_folder
from toolkit.wire.device_config import DeviceConfig

PARTS: Final = {
    "models": ("versions", "parts", "indexes", "plans"),
    "answers": ("answers",),
    "outbox": ("outbox.sqlite-wal", "outbox.sqlite"),
    "memory": ("serving.json", "standing.json", "edge.sqlite-wal", "edge.sqlite-shm", "edge.sqlite"),
}
"""What is removed -> names in the state folder, in this order: as long as the memory is there, a wipe is not over."""


@dataclass(frozen=True)
class Removed:
    """What was removed."""

    what: str
    files: int
    bytes: int


def places(file: Path, config: DeviceConfig) -> tuple[Path, DeviceConfig]:
    """Give the state folder, and the configuration with the outbox' key as a path.

    The keyring is not needed for a wipe, and may be gone.

    Args:
        file: the configuration's file, as `read_config` gives it.
        config: likewise.
    """
    outbox = config.outbox
    if outbox.key_file:
        outbox = replace(outbox, key_file=str(file.parent / outbox.key_file))
    return file.parent / config.state, replace(config, outbox=outbox)


def wipe(state: Path, config: DeviceConfig | None = None) -> tuple[Removed, ...]:
    """Delete everything of a device's state; with its configuration its secrets and identity too.

    Args:
        state: the state folder.
        config: whose secrets go, with paths as `read_settings` gives them; None keeps the identity.

    Raises:
        StoreError: a daemon runs on it, or something could not be removed.
    """
    folders = Folders(state)
    if not state.is_dir():
        return ()
    lock = folders.lock()
    try:
        found = [
            _remove(what, [state / name for name in names])
            for what, names in PARTS.items()
            if what != "memory"
        ]
        if config is not None:
            found.append(_remove_identity(state, config))
        drafts = [path for path in state.glob(".*.part") if path.is_file()]
        found.append(_remove("memory", [*drafts, *(state / name for name in PARTS["memory"])]))
        remove(state / "lock")
        sync_folder(state)
    except OSError as error:
        raise StoreError(
            f"{state} is not wiped: {error}", hint="make it writable for this user, and run it again"
        ) from error
    finally:
        os.close(lock)
    return tuple(each for each in found if each.files)


def _remove(what: str, paths: list[Path]) -> Removed:
    files = size = 0
    for path in paths:
        for each in _files(path):
            with suppress(FileNotFoundError):
                size += each.lstat().st_size
                files += 1
        remove(path)
        if path.exists():
            raise StoreError(
                f"{path} could not be removed", hint="make it writable for this user, and run it again"
            )
    return Removed(what, files, size)


def _remove_identity(state: Path, config: DeviceConfig) -> Removed:
    """Overwrite and remove secrets; of the public part only what lies in the state folder, the rest is not ours."""
    broker = config.broker
    answers = [model.cache.key_file for model in config.models if model.cache is not None]
    named = (broker.key_file, broker.password_file, config.outbox.key_file, *answers)
    secret = [Path(name) for name in named if name]
    certificate = [Path(broker.certificate_file)] if broker.certificate_file else []
    files = size = 0
    for path in (*secret, *certificate):
        if path.is_file() and not path.is_symlink():
            size += path.stat().st_size
            files += 1
            _overwrite(path)
            path.unlink()
    rest = _remove("identity", [state / "identity"])
    return Removed("identity", files + rest.files, size + rest.bytes)


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(secrets.token_bytes(min(left, 1 << 20)))
        os.fsync(file.fileno())


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        yield from (each for each in path.rglob("*") if not each.is_dir())
    elif path.exists():
        yield path
