"""Ways to break the demo on purpose: `tiers demo --break NAME`. Each must turn one row red and change the exit code.

A demo that cannot fail shows nothing; tests/e2e/test_demo.py runs each of these.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from toolkit.errors import UsageError


class Fault(str, Enum):
    """One thing to break."""

    NONE = "none"
    CORRUPT_CHUNK = "corrupt-chunk"
    """Flip bytes in the registry's packs after the push: no device may get them."""
    WRONG_SIGNATURE = "wrong-signature"
    """Push v1 with a key that the devices do not trust."""
    WORSE_V2 = "worse-v2"
    """Offer a v2 that loads and answers, but hits fewer images than its manifest promises."""
    DEAD_DEPOT = "dead-depot"
    """End the depot before the first rollout."""


def flip_stored_bytes(registry: Path) -> int:
    """Flip a byte here and there in the first half of each pack, where chunks lie; return how many were flipped."""
    flipped = 0
    for pack in sorted((registry / "packs").iterdir()):
        data = bytearray(pack.read_bytes())
        for place in range(64, len(data) // 2, 2_048):
            data[place] ^= 0xFF
            flipped += 1
        pack.chmod(0o644)
        pack.write_bytes(bytes(data))
    return flipped


def named(name: str) -> Fault:
    """Give the fault of this name.

    Raises:
        UsageError: there is none.
    """
    try:
        return Fault(name)
    except ValueError:
        known = ", ".join(fault.value for fault in Fault)
        raise UsageError(f"there is no fault {name!r}", hint=f"one of: {known}") from None
