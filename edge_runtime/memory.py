"""How much memory a model will take and how much there is: what `activate` asks before it loads a second one.

A Jetson shares its memory between processor and GPU, so one figure is enough: what the kernel says is available, or
what the daemon's own control group leaves it, whichever is less. Files: kernel.org, Documentation/admin-guide/
cgroup-v2.rst and cgroup-v1/memory.rst. Where a limit cannot be read it is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_runtime.facts import memory_bytes
from edge_runtime.sysfs import number_of, text_of

_ROOT: Final = Path("/")
MIB: Final = 1024**2
PER_BYTE: Final = 2
"""Memory for each byte of a model's files: its weights, and once more for what an engine rearranges and computes in."""
PER_MODEL: Final = 32 * MIB
"""Memory of an engine whatever the model."""
RESERVE: Final = 64 * MIB
"""Memory that is left to requests and to the rest of the machine."""
_NO_LIMIT: Final = 1 << 60
"""Bytes; a version 1 group without a limit says a number beyond this."""


def needed_bytes(model_file: Path, told: int = 0) -> int:
    """Estimate what a loaded model takes: by its files, or what its manifest tells if that is more.

    Args:
        model_file: in the folder of its artifact; weights may lie in files beside it.
        told: `requires.memory_bytes` of the manifest; 0 where it does not say.
    """
    sizes = (file.stat().st_size for file in model_file.parent.rglob("*") if file.is_file())
    return max(PER_BYTE * sum(sizes) + PER_MODEL, told)


def free_bytes(root: Path = _ROOT) -> int | None:
    """Give the memory that this process may still take; None where nothing is known."""
    known = [memory_bytes(root, "MemAvailable"), *_left_by_groups(root)]
    if not known[0]:
        known = known[1:]
    return min(known, default=None)


def fits(needed: int, free: int | None) -> bool:
    """Say whether so much can be taken; yes where nobody knows."""
    return free is None or needed + RESERVE <= free


def _left_by_groups(root: Path) -> Iterator[int]:
    """Give what each control group above this process leaves."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        mount = root / "sys/fs/cgroup"
        if number == "0":
            yield from _above(mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            yield from _above(mount / "memory", path, limit, used, "total_inactive_file")


def _above(mount: Path, path: str, limit: str, used: str, idle: str) -> Iterator[int]:
    folder = mount / path.strip("/")
    if ".." in path.split("/") or not folder.is_dir():
        folder = mount  # in a container, which sees its own group as the root
    while True:
        most, now = number_of(folder / limit), number_of(folder / used)
        if most is not None and now is not None and most < _NO_LIMIT:
            yield max(most - now + _stat(folder, idle), 0)
        if folder == mount:
            return
        folder = folder.parent


def _stat(folder: Path, name: str) -> int:
    """Give a line of memory.stat; inactive pages of files are given back when somebody needs them."""
    lines = (line.split() for line in text_of(folder / "memory.stat").splitlines())
    return next((int(words[1]) for words in lines if words[:1] == [name]), 0)
