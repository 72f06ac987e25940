"""Who is enrolled and who is not: the register held against tiers.yaml. `tiers device list` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from toolkit.errors import UsageError
from toolkit.fleet.names import devices_of
from toolkit.fleet.register import Enrolled, read_register
from toolkit.topology.topology import Topology

SOON_SECONDS = 60 * 86400
"""A certificate that ends within this time is remarked on."""


@dataclass(frozen=True)
class Standing:
    """One name."""

    name: str
    state: Literal["enrolled", "revoked", "expired", "not enrolled"]
    not_after: int = 0
    """Unix seconds; 0 for who was never enrolled."""
    serial: str = ""
    remark: str = ""


def standings(topology: Topology, folder: Path, now: datetime) -> tuple[Standing, ...]:
    """Say where every device of tiers.yaml stands, and everybody else in the register, by name.

    Raises:
        UsageError: there is no authority in the folder, or it is another site's.
        IntegrityError: its register is damaged.
    """
    register = read_register(folder)
    if register.site != topology.name:
        raise UsageError(f"{folder} is the authority of site {register.site}", hint="--authority FOLDER")
    devices, latest = devices_of(topology), dict[str, Enrolled]()
    for entry in register.entries:
        held = latest.get(entry.name)
        if held is None or held.revoked_at or not entry.revoked_at:
            latest[entry.name] = entry
    names = sorted(devices | set(latest))
    return tuple(_standing(name, latest.get(name), int(now.timestamp()), devices) for name in names)


def _standing(name: str, entry: Enrolled | None, seconds: int, devices: frozenset[str]) -> Standing:
    if entry is None:
        return Standing(name, "not enrolled")
    if entry.revoked_at:
        return Standing(name, "revoked", entry.not_after, entry.serial, entry.reason)
    if entry.not_after <= seconds:
        return Standing(name, "expired", entry.not_after, entry.serial, "enroll it again with its request")
    remark = ""
    if entry.not_after - seconds < SOON_SECONDS:
        remark = "ends soon: enroll it again with its request"
    elif name not in devices and ":" not in name:
        remark = "not in tiers.yaml: revoke it if it is gone"
    return Standing(name, "enrolled", entry.not_after, entry.serial, remark)
