"""The states of an installation, in the order in which a healthy one passes them.

`protocol.install` holds the one table of arrows between them; `report` carries them to the fleet.
"""

from __future__ import annotations

from enum import Enum


class InstallState(str, Enum):
    """Where a device stands with one model's next version."""

    IDLE = "IDLE"
    OFFERED = "OFFERED"
    """A desired document names it; manifest and requirements are being checked."""
    REJECTED = "REJECTED"
    """Signature, requirements or floor said no; nothing was fetched."""
    WAITING_WINDOW = "WAITING_WINDOW"
    SEEDING = "SEEDING"
    """Chunks that the device already has are being taken from there."""
    DOWNLOADING = "DOWNLOADING"
    VERIFYING = "VERIFYING"
    """All chunks are here; the files are being put together and checked."""
    STAGED = "STAGED"
    """The files are whole; a child process loads them and runs the golden inputs."""
    ACTIVATING = "ACTIVATING"
    """The child was satisfied; the switch is being made."""
    PROBATION = "PROBATION"
    ACTIVE = "ACTIVE"
    ROLLED_BACK = "ROLLED_BACK"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINISHED = frozenset(
    {
        InstallState.IDLE,
        InstallState.REJECTED,
        InstallState.ACTIVE,
        InstallState.ROLLED_BACK,
        InstallState.FAILED,
        InstallState.CANCELLED,
    }
)
"""States in which an installation rests until a new desired document comes."""
