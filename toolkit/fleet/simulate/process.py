"""What a rehearsal asks of the system: room for many open connections, and how much memory a process has had.

A thousand devices are three thousand open files in their processes and a thousand in the broker, which is more than
many systems let a process have unless it asks.
"""

from __future__ import annotations

import resource
from pathlib import Path


def ask_for_files() -> None:
    """Raise this process's limit of open files to what the system allows it; its children inherit that."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def peak_memory(pid: int) -> int:
    """Give the highest resident size of a process so far, in bytes (`VmHWM`, proc(5)); 0 where nobody says."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    return 0
