"""Let a process keep the memory of large messages for the next ones. For those that ship: depot, daemon and Mosquitto.

glibc gives a block of 128 KiB or more back to the kernel when it is freed, and the next one costs its page faults anew:
on a virtual machine that was half of the processor time of a transfer (docs/benchmarks.md). Two settings of malloc(3)
change that: blocks up to 4 MiB come from the heap, and the heap keeps some MiB at its end. Ours ask for it themselves;
a broker is somebody else's program and gets it by its environment.
"""

from __future__ import annotations

import ctypes
from typing import Final

MIB: Final = 1024 * 1024
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of mallopt(3), from malloc.h."""
BROKER_ENVIRONMENT: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(4 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(64 * MIB),
}
"""The same for a Mosquitto, which has the queues of many clients. Another C library than glibc passes over them."""


def keep_buffers() -> bool:
    """Change the settings for this process; tell whether its C library knows them (glibc does, others need not)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, 32 * MIB) and mallopt(_MMAP_THRESHOLD, 4 * MIB))
