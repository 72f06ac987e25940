"""A rollout: which version shall go to which devices, in which waves, and what stops it.

`tiers rollout start` writes it, sealed and retained, and returns; whoever steers (`tiers rollout run`,
`tiers depot --steer`) reads it and the devices' reports and lets `protocol.waves` decide what comes next.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, decode_json
from toolkit.wire.topics import check_label


class Wave(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a wave reaches: devices that shall have the version after it, all waves before included."""

    devices: int


class RolloutSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the operator wants; figures come from `rollout:` in tiers.yaml."""

    model: str
    version: str
    artifact: Digest
    devices: tuple[str, ...]
    """Candidates in the order in which they are taken: a stable hash of (rollout, device)."""
    waves: tuple[Wave, ...]
    previous_version: str = ""
    """The version that a rollback brings back; empty when there was none."""
    previous_artifact: str = ""
    """Its artifact id."""
    soak_seconds: float = 0.0
    """How long a finished wave must stay good before the next one begins."""
    max_failed: int = 0
    """The rollout fails when more devices than this refuse the version or roll it back."""
    followers: tuple[str, ...] = ()
    """Names that get the version when all devices have it, such as the servers of a service; nobody waits for them."""


class Rollout(Document, frozen=True, kw_only=True):
    """The intent (`spec`, `action`), written by the operator."""

    FORMAT: ClassVar[int] = 1
    name: str
    number: int
    """Grows with each rollout of a site; of the rollouts of one model a driver steers only the highest."""
    seq: int
    """Grows with each change of the intent."""
    spec: RolloutSpec
    action: Literal["run", "pause", "abort", "rollback"] = "run"


def decode_rollout(data: bytes) -> Rollout:
    """Read a rollout whose seal has been opened.

    Raises:
        IntegrityError: it is damaged.
    """
    rollout = decode_json(data, Rollout, what="rollout")
    check_label(rollout.name, what="rollout")
    parse_digest(rollout.spec.artifact, what=f"rollout {rollout.name}: artifact")
    if rollout.spec.previous_artifact:
        parse_digest(rollout.spec.previous_artifact, what=f"rollout {rollout.name}: previous artifact")
    for device in (*rollout.spec.devices, *rollout.spec.followers):
        check_label(device, what=f"rollout {rollout.name}: device")
    return rollout
