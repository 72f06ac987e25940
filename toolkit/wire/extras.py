"""What an entry of an index says beyond the plain facts: hard links, extended attributes, holes. Format 2 of an index.

`sync.scan` finds them, `layouts.settle` lays them down; `index` asks here whether what it was given can be. A reader
that leaves them alone still gets every byte right, because each name of a file has its chunks.
"""

from __future__ import annotations

from toolkit.wire.document import Sparse

ACCESS_ACL = b"system.posix_acl_access"
DEFAULT_ACL = b"system.posix_acl_default"
_USER = b"user."
MAX_XATTRS = 64
MAX_XATTR_BYTES = 64 * 1024
"""Names and values of one path together."""
_MAX_NAME_BYTES = 255
_ACL_HEAD = b"\x02\x00\x00\x00"
"""Version 2, little-endian, before entries of 8 bytes: linux/posix_acl_xattr.h."""
_ACL_ENTRY_BYTES = 8


class Extras(Sparse, frozen=True, kw_only=True):
    """What is beyond the plain facts; an entry with nothing of it has no Extras."""

    holes: bool = False
    """A file whose runs of zeros take no room where it comes from."""
    same: bytes = b""
    """Path of the first name of the same file in this index; the first name carries its own."""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    """Names and values, sorted by name: `user.…` and POSIX ACLs, which hold users and groups as numbers."""


def extras_of(
    *, holes: bool = False, same: bytes = b"", xattrs: tuple[tuple[bytes, bytes], ...] = ()
) -> Extras | None:
    """Make Extras, or None when there is nothing to say."""
    return Extras(holes=holes, same=same, xattrs=xattrs) if holes or same or xattrs else None


def is_kept(name: bytes) -> bool:
    """Say whether an extended attribute of this name is kept: users' own and ACLs, nothing that grants rights.

    `security.…` (capabilities, labels) and `trusted.…` are the system's own and never travel.
    """
    return (name.startswith(_USER) and len(name) > len(_USER)) or name in (ACCESS_ACL, DEFAULT_ACL)


def fault_of_extras(extras: Extras, kind: str, size: int) -> str:
    """Say why an entry of this kind and size cannot have such extras; empty when it can.

    Whether `same` fits the other entries is for `index` to say.
    """
    if not (extras.holes or extras.same or extras.xattrs):
        return "has empty extras"
    if (extras.holes or extras.same) and (kind != "file" or (extras.holes and not size)):
        return "has extras that do not fit its kind"
    names = [name for name, _ in extras.xattrs]
    total = sum(len(name) + len(value) for name, value in extras.xattrs)
    if names and kind == "link":
        return "has extras that do not fit its kind"
    if len(names) > MAX_XATTRS or total > MAX_XATTR_BYTES:
        return f"has {len(names)} extended attributes of {total} bytes, which is too much"
    if names != sorted(set(names)):
        return "has extended attributes that are not sorted"
    for name, value in extras.xattrs:
        if not is_kept(name) or b"\0" in name or len(name) > _MAX_NAME_BYTES:
            return f"has the extended attribute {name!r}, which never travels"
        if not name.startswith(_USER) and not _is_acl(value, name, kind):
            return f"has a damaged {name.decode()}"
    return ""


def _is_acl(value: bytes, name: bytes, kind: str) -> bool:
    right = value.startswith(_ACL_HEAD) and len(value) % _ACL_ENTRY_BYTES == len(_ACL_HEAD)
    return right and (name == ACCESS_ACL or kind == "folder")
