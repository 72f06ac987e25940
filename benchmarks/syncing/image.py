"""A file system with reflinks for as long as a walk takes: XFS in a sparse file, on a loop device.

`benchmarks/sync.py --place reflink` walks in it what `--place local` walks on the disk itself. The device is one layer
more, for all tools alike; it goes past the page cache of the disk below, so that nothing is kept in memory twice. The
run is in a mount namespace of its own (unshare(1)) and the device is one that lets go of its file when the mount goes
(LO_FLAGS_AUTOCLEAR, loop(4)): whatever ends the run, the mount and the device end with its last process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

GIB = 1024**3
_PROGRAMS = {
    "mkfs.xfs": "xfsprogs",
    "losetup": "mount",
    "mount": "mount",
    "umount": "mount",
    "findmnt": "util-linux",
}
_FACTOR = 12
"""Four tools, each with the tree and a draft of it, the source, and what is restored."""
_LEAST_BYTES = GIB
"""mkfs.xfs makes none below 300 MB, and the files of the small walks are some."""


class UnusableError(Exception):
    """There can be no such file system here; the message says what to install or to do."""


def room_of(size: int) -> int:
    """Give the bytes of an image for walks whose large file has `size` bytes."""
    return max(_LEAST_BYTES, _FACTOR * size)


def check(folder: Path, size: int) -> None:
    """See that an image can be made and mounted here, before anything is measured.

    Args:
        folder: where the image will be.
        size: bytes of the large file.

    Raises:
        UnusableError: not root, a program is missing, or the disk is too full.
    """
    if os.geteuid() != 0:
        raise UnusableError(
            "--place reflink mounts a file system, which only root may: run it with sudo, or leave the place out"
        )
    if gone := sorted({package for name, package in _PROGRAMS.items() if _program(name) is None}):
        raise UnusableError(f"--place reflink lacks programs: apt-get install {' '.join(gone)}")
    free = os.statvfs(folder)
    if (have := free.f_bavail * free.f_frsize) < (need := room_of(size)):
        raise UnusableError(
            f"--place reflink needs {need / 1e9:.0f} GB in {folder}, there are {have / 1e9:.0f}: name another --folder"
        )


@contextmanager
def reflinks(folder: Path, size: int) -> Iterator[Path]:
    """Make a file system with reflinks in an empty folder, mount it, and take it away again.

    Args:
        folder: on the disk that is measured.
        size: bytes of the large file.

    Raises:
        UnusableError: the kernel cannot mount it.
    """
    image, mount = folder / "image", folder / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(room_of(size))
    _do(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)])
    try:
        _do(["mount", "-t", "xfs", "-o", "loop", str(image), str(mount)])
        device = _do(["findmnt", "--noheadings", "--output", "SOURCE", str(mount)]).strip()
        _do(["losetup", "--direct-io=on", device])
        yield mount
    finally:
        if os.path.ismount(mount):
            # Lazily: a tool that was just killed may still hold a file, and the namespace ends with this run.
            try:
                _do(["umount", str(mount)])
            except UnusableError:
                _do(["umount", "--lazy", str(mount)])


def _do(command: Sequence[str]) -> str:
    program = _program(command[0])
    done = subprocess.run([program or command[0], *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise UnusableError(
            f"--place reflink: {' '.join(command)}: {said}; leave the place out, or use another machine"
        )
    return done.stdout


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
