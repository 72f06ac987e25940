"""What the disk under a test can keep; a test that needs more says so and skips."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in [
        (0x01, 6, 0xFFFFFFFF),  # owner rw
        (0x02, 4, 12345),  # user 12345 r
        (0x04, 4, 0xFFFFFFFF),  # group r
        (0x10, 4, 0xFFFFFFFF),  # mask r
        (0x20, 0, 0xFFFFFFFF),  # others nothing
    ]
)
"""rw-r-----+ with one named user, as linux/posix_acl_xattr.h has it."""


def need_xattrs(folder: Path) -> None:
    """Skip where users' attributes cannot be kept."""
    _try(folder, "user.tiers", b"1")


def need_acls(folder: Path) -> None:
    """Skip where ACLs cannot be kept."""
    _try(folder, "system.posix_acl_access", ACL)


def _try(folder: Path, name: str, value: bytes) -> None:
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, name, value)
    except OSError as error:
        pytest.skip(f"{folder} keeps no {name}: {error}; run the tests on ext4, xfs, btrfs or tmpfs")
    finally:
        probe.unlink()


def need_holes(folder: Path) -> None:
    """Skip where files have no holes."""
    probe = folder / "probe"
    write_sparse(probe, 1 << 20)
    room = probe.stat().st_blocks * 512
    probe.unlink()
    if room > 1 << 19:
        pytest.skip(f"{folder} keeps no holes; run the tests on ext4, xfs, btrfs or tmpfs")


def write_sparse(path: Path, size: int, *parts: tuple[int, bytes]) -> None:
    """Write a file of `size` bytes that is a hole but for the parts: offset and bytes."""
    with path.open("wb") as file:
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
        file.truncate(size)


def xattrs_of(path: Path) -> dict[str, bytes]:
    """All extended attributes of a file."""
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}
