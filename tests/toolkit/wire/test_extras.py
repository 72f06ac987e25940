"""Hard links, extended attributes and holes in an index: what may stand there, and what an enemy might write."""

from __future__ import annotations

import struct

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.extras import ACCESS_ACL, DEFAULT_ACL, Extras, extras_of
from toolkit.wire.index import ChunkRef, Entry, Index, decode_index, encode_index, file_entry

X = ChunkRef(digest_of(b"x"), 1)
ACL = struct.pack("<I", 2) + struct.pack("<HHI", 1, 6, 0xFFFFFFFF)


def with_extras(path: bytes = b"a", kind: str = "file", **extras: object) -> Entry:
    entry = file_entry(path, [X]) if kind == "file" else Entry(path, kind, 0, 0o755, 0)
    if kind == "link":
        entry = msgspec.structs.replace(entry, target=b"x")
    return msgspec.structs.replace(entry, extras=Extras(**extras))


def second_name(**changes: object) -> Entry:
    """A second name of `a` that differs from it in something."""
    return msgspec.structs.replace(with_extras(b"b", same=b"a"), **changes)


def taken(*entries: Entry) -> Index:
    digest, data = encode_index(Index(entries=entries))
    return decode_index(data, digest)


def test_an_index_without_extras_is_still_written_as_format_1():
    index = Index(entries=(file_entry(b"a", [X]),))
    digest, data = encode_index(index)
    read = msgspec.msgpack.decode(data)
    assert (index.format, read["format"], [len(entry) for entry in read["entries"]]) == (1, 1, [7])
    assert decode_index(data, digest) == index


def test_extras_come_back_as_they_went_and_leave_out_what_is_not_said():
    entries = (
        with_extras(b"a", same=b"a", xattrs=((ACCESS_ACL, ACL), (b"user.a", b"1"), (b"user.b", b""))),
        with_extras(b"b", same=b"a", xattrs=((ACCESS_ACL, ACL), (b"user.a", b"1"), (b"user.b", b""))),
        with_extras(b"c", holes=True),
        with_extras(b"d", "folder", xattrs=((DEFAULT_ACL, ACL),)),
        file_entry(b"e", [X]),
    )
    index = taken(*entries)
    assert index.entries == entries
    read = msgspec.msgpack.decode(encode_index(index)[1])
    assert read["format"] == 2
    assert [entry[7] for entry in read["entries"][2:]] == [
        {"holes": True}, {"xattrs": [[DEFAULT_ACL, ACL]]}, None
    ]  # fmt: skip
    assert extras_of() is None


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([with_extras()], "empty extras"),
        ([with_extras(kind="folder", holes=True)], "do not fit its kind"),
        ([with_extras(kind="folder", same=b"a")], "do not fit its kind"),
        ([with_extras(kind="link", xattrs=((b"user.a", b""),))], "do not fit its kind"),
        ([msgspec.structs.replace(file_entry(b"a", []), extras=Extras(holes=True))], "do not fit its kind"),
        ([with_extras(xattrs=((b"user.b", b""), (b"user.a", b"")))], "not sorted"),
        ([with_extras(xattrs=((b"user.a", b""), (b"user.a", b"")))], "not sorted"),
        ([with_extras(xattrs=((b"security.capability", b"x"),))], "never travels"),
        ([with_extras(xattrs=((b"trusted.overlay.opaque", b"y"),))], "never travels"),
        ([with_extras(xattrs=((b"system.nfs4_acl", b"y"),))], "never travels"),
        ([with_extras(xattrs=((b"user.", b""),))], "never travels"),
        ([with_extras(xattrs=((b"user.a\0b", b""),))], "never travels"),
        ([with_extras(xattrs=((b"user." + b"a" * 251, b""),))], "never travels"),
        ([with_extras(xattrs=((b"user.a", bytes(65536)),))], "too much"),
        ([with_extras(xattrs=tuple((b"user.%03d" % n, b"") for n in range(65)))], "too much"),
        ([with_extras(xattrs=((ACCESS_ACL, ACL[:-1]),))], "damaged system.posix_acl_access"),
        ([with_extras(xattrs=((ACCESS_ACL, b"\1" + ACL[1:]),))], "damaged system.posix_acl_access"),
        ([with_extras(xattrs=((DEFAULT_ACL, ACL),))], "damaged system.posix_acl_default"),
        ([with_extras(same=b"../outside")], "no second name"),
        ([with_extras(same=b"/etc/shadow")], "no second name"),
        ([with_extras(same=b"missing")], "no second name"),
        ([with_extras(b"a", same=b"b"), with_extras(b"b", same=b"b")], "no second name"),
        ([file_entry(b"a", [X]), with_extras(b"b", same=b"a")], "no second name"),
        ([Entry(b"a", "folder", 0, 0o755, 0), with_extras(b"a/b", same=b"a")], "no second name"),
        ([Entry(b"a", "link", 0, 0, 0, b"", b"x"), with_extras(b"b", same=b"a")], "no second name"),
        ([with_extras(b"a", same=b"a"), with_extras(b"b", same=b"a"), with_extras(b"c", same=b"b")], "no second name"),
        ([with_extras(b"a", same=b"a"), with_extras(b"b", same=b"a", holes=True)], "no second name"),
        ([with_extras(b"a", same=b"a"), second_name(mode=0o600)], "no second name"),
        ([with_extras(b"a", same=b"a"), second_name(size=0, chunks=b"")], "no second name"),
    ],
)  # fmt: skip
def test_extras_that_cannot_be_are_refused_with_the_place(entries, complaint):
    with pytest.raises(IntegrityError, match=complaint) as refused:
        taken(*entries)
    assert f"'{entries[-1].path.decode()}'" in refused.value.message


def test_extras_in_an_index_that_says_format_1_are_refused():
    plain = [b"a", "file", 1, 0o644, 0, file_entry(b"a", [X]).chunks, b"", {"holes": True}]
    data = msgspec.msgpack.encode({"entries": [plain], "format": 1})
    with pytest.raises(IntegrityError, match="which its format does not have"):
        decode_index(data, digest_of(data))
