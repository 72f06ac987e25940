"""What a state folder says about its device, for `tiers-edge status`: beside a running daemon, and without one.

What only the daemon knows it leaves in `standing`; of a device that does not run, the outbox itself is looked into.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from edge_runtime.folders import Folders
from edge_runtime.outbox import peek
from edge_runtime.standing import OutboxStanding, Standing, outbox_standing, read_standing
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
    outbox: OutboxStanding | None = None
    """Records that wait; None when there is no outbox."""
    live: Standing | None = None
    """What the running daemon said of itself a few seconds ago."""


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
    live = read_standing(folders.standing) if running else None
    fill = None if running else peek(folders.outbox)
    return DeviceStatus(
        state=str(state),
        running=running,
        address=_address(folders) if running else "",
        starts=starts,
        desired_seq=desired_seq,
        models=models,
        outbox=live.outbox if live else outbox_standing(fill) if fill else None,
        live=live,
    )


def lines(status: DeviceStatus, device: str) -> list[str]:
    """Write a status for people."""
    where = f"serves on {status.address}" if status.running else "does not run"
    said = [f"{device} {where}; {status.starts} starts; desired state {status.desired_seq}"]
    live = status.live
    if live is not None:
        said.append(f"broker: {'connected' if live.connected else 'not connected'}")
    for model in status.models:
        engine = (
            f" by {live.engines[model.model]}" if live is not None and model.model in live.engines else ""
        )
        serving = f"serving {model.serving_version or 'nothing'}{engine}"
        said.append(f"{model.model}: {model.state.value} {model.version}, {serving}")
        if live is not None and live.rungs.get(model.model, "full") != "full":
            said.append(f"  cut back: {live.rungs[model.model]}")
        if model.code:
            said.append(f"  {model.code}: {model.reason}")
    if status.outbox is not None:
        said += _outbox_lines(status.outbox, live)
    return said


def _outbox_lines(outbox: OutboxStanding, live: Standing | None) -> list[str]:
    room = f" of {outbox.cap_bytes}" if outbox.cap_bytes else ""
    said = [f"outbox: {sum(outbox.waiting)} records wait in {outbox.used_bytes} bytes{room}"]
    if live is not None and live.connected:
        said[0] += "; they are being taken" if live.receiver else "; nobody takes them"
        if live.problem:
            said.append(f"  {live.problem}")
    said += [
        f"  dropped for want of room: {each.records} {each.kind} of priority {each.priority}"
        for each in outbox.dropped
    ]
    if outbox.refused:
        said.append(f"  not accepted: {outbox.refused}")
    return said


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
        unix_socket = str(place.get("unix_socket", ""))
        if not place["host"]:
            return unix_socket
        return f"{place['host']}:{place['port']}" + (f" and {unix_socket}" if unix_socket else "")
    return ""
