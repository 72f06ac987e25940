"""What a device is, as far as a plan or a requirement cares. Part of each report; the key of a plan cache."""

from __future__ import annotations

import msgspec


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts of a device; an empty string or 0 means that it has no such thing."""

    architecture: str = ""
    """As uname gives it: aarch64, x86_64."""
    device_model: str = ""
    """From /proc/device-tree/model."""
    l4t: str = ""
    """Linux for Tegra release, for example 36.4.3."""
    tensorrt: str = ""
    compute_capability: str = ""
    """For example 8.7."""
    onnxruntime: str = ""
    python: str = ""
    tiers: str = ""
    """Version of this software."""
    memory_bytes: int = 0
