"""What a device shall run. One retained document a device, sealed by an operator key; the device obeys the highest seq.

A rollout's driver writes it (`protocol.waves`), `edge_runtime.daemon` reads it and hands it to `protocol.install`.
"""

from __future__ import annotations

from typing import ClassVar

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, Sparse, decode_json
from toolkit.wire.manifest import NAME, VERSION


class DesiredModel(Sparse, frozen=True, kw_only=True):
    """The version of one model that a device shall run."""

    model: str
    version: str
    artifact: Digest
    rollout: str
    """The rollout that asks for it; a device that failed once tries again only for a new one."""
    now: bool = False
    """Do not wait for the device's install window."""


class Desired(Document, frozen=True, kw_only=True, omit_defaults=True):
    """All models that a device shall run."""

    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (1, 2)
    device: str
    seq: int
    """Grows with each document for a device; a lower or equal one is ignored."""
    fence: int
    """Number of the driver's term; a driver that lost its term writes a lower one and is ignored."""
    models: tuple[DesiredModel, ...] = ()

    def needed_format(self) -> int:
        """Give 2 for a document with a model that is wanted now; else 1."""
        return 2 if any(each.now for each in self.models) else 1


def decode_desired(data: bytes, device: str) -> Desired:
    """Read a desired document whose seal has been opened, and check that it is for this device.

    Raises:
        IntegrityError: it is damaged, or addressed to another device.
    """
    desired = decode_json(data, Desired, what=f"desired state of {device}")
    if desired.device != device:
        raise IntegrityError(f"desired state is addressed to {desired.device[:70]!r}, not to {device}")
    for model in desired.models:
        parse_digest(model.artifact, what=f"desired state of {device}: artifact")
        if not NAME.fullmatch(model.model) or not VERSION.fullmatch(model.version):
            raise IntegrityError(
                f"desired state of {device}: {model.model[:70]!r} is not a model name and version"
            )
    return desired
