"""What a state folder says about its device, for `tiers-edge status`; and how to empty it, for `tiers-edge wipe`.

`read_status` works beside a running daemon; `wipe` needs the folder for itself.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from edge_runtime.folders import Folders, remove
from edge_runtime.store import Store
from toolkit.errors import StoreError
from toolkit.protocol.installation import Installation
from toolkit.wire.states import InstallState


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the device."""

    model: str
    state: InstallState
    version: str
    serving_version: str
    """The version that serves, or that will when the daemon runs."""
    fallback_version: str
    code: str
    reason: str


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The device."""

    state: str
    running: bool
    address: str
    """host:port where the daemon serves; empty when it does not run."""
    starts: int
    desired_seq: int
    models: tuple[ModelStatus, ...]


def read_status(state: Path) -> DeviceStatus:
    """Read a state folder.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    folders = Folders(state)
    if not folders.database.exists():
        message = f"{state} is not a state folder of tiers-edge"
        raise StoreError(message, hint="start the daemon first: tiers-edge run --config FILE")
    store = Store(folders.database)
    try:
        models = tuple(_describe(held) for held in store.installations().values())
        starts, desired_seq = store.count("starts"), store.count("desired_seq")
    finally:
        store.close()
    running = _is_running(folders)
    return DeviceStatus(
        state=str(state),
        running=running,
        address=_address(folders) if running else "",
        starts=starts,
        desired_seq=desired_seq,
        models=models,
    )


def wipe(state: Path) -> bool:
    """Delete everything in a state folder that tiers-edge has put there; tell whether there was anything.

    Raises:
        StoreError: a daemon runs on it.
    """
    folders = Folders(state)
    if not folders.database.exists():
        return False
    lock = folders.lock()
    try:
        for name in ("versions", "parts", "indexes", "serving.json"):
            remove(state / name)
        for suffix in ("-wal", "-shm", ""):
            remove(folders.database.with_name(folders.database.name + suffix))
        remove(state / "lock")
    finally:
        os.close(lock)
    return True


def _describe(held: Installation) -> ModelStatus:
    versions = [] if held.withdrawn else [each.version for each in held.good]
    return ModelStatus(
        model=held.model,
        state=held.state,
        version=held.offer.version if held.offer else "",
        serving_version=versions[0] if versions else "",
        fallback_version=versions[1] if len(versions) > 1 else "",
        code=held.code,
        reason=held.reason,
    )


def _is_running(folders: Folders) -> bool:
    try:
        os.close(folders.lock())
    except StoreError:
        return True
    return False


def _address(folders: Folders) -> str:
    with suppress(OSError, msgspec.DecodeError, KeyError, TypeError):
        place = msgspec.json.decode(folders.serving.read_bytes(), type=dict[str, object])
        return f"{place['host']}:{place['port']}"
    return ""
