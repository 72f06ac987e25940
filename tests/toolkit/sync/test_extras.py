"""Hard links, extended attributes and holes: what a scan takes in, and how bytes are laid down around holes."""

from __future__ import annotations

import os
import random
from itertools import pairwise

import pytest

from tests.toolkit.sync.disks import ACL, need_acls, need_holes, need_xattrs, write_sparse
from toolkit.sync.cache import ScanCache
from toolkit.sync.extras import read_xattrs, write_around_holes, write_xattrs
from toolkit.sync.folder import Folder
from toolkit.sync.scan import scan
from toolkit.sync.selection import Selection
from toolkit.wire.extras import ACCESS_ACL, Extras
from toolkit.wire.index import Index, decode_index, encode_index


def extras(found):
    return {entry.path: entry.extras for entry in found.index.entries if entry.extras is not None}


def test_names_of_one_file_are_found_and_read_once(tmp_path):
    data = random.Random(1).randbytes(300_000)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b").write_bytes(data)
    (tmp_path / "a").hardlink_to(tmp_path / "sub/b")
    (tmp_path / "z").hardlink_to(tmp_path / "sub/b")
    (tmp_path / "alone").write_bytes(data)
    found = scan(Folder(str(tmp_path)))
    assert extras(found) == dict.fromkeys([b"a", b"sub/b", b"z"], Extras(same=b"a"))
    assert (found.bytes_read, found.files_read, found.files) == (2 * len(data), 2, 4)
    digest, encoded = encode_index(Index(entries=tuple(found.index.entries)))
    assert decode_index(encoded, digest).entries == tuple(found.index.entries)


def test_a_name_outside_of_what_is_taken_makes_no_hard_link(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"x")
    (tmp_path / "b").hardlink_to(tmp_path / "in/a")
    assert extras(scan(Folder(str(tmp_path)), b"in")) == {}
    (tmp_path / "in/large").write_bytes(bytes(100))
    (tmp_path / "in/also-large").hardlink_to(tmp_path / "in/large")
    some = scan(Folder(str(tmp_path)), b"in", selection=Selection(larger_than_bytes=10))
    assert set(extras(some)) == {b"large", b"also-large"}


def test_the_other_names_of_a_file_that_cannot_be_read_are_read_themselves(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    gone = scan(Gone(str(tmp_path)))
    (left,) = (path.name.encode() for path in tmp_path.iterdir())
    assert [(entry.path, entry.extras) for entry in gone.index.entries if entry.kind == "file"] == [
        (left, None)
    ]
    assert (gone.problems, gone.left_out) == ((), frozenset())


class Gone(Folder):
    """A folder in which one file goes away between looking and reading."""

    looks = 0

    def open_folder(self, path: bytes, *, create: bool = False) -> int:
        self.looks += 1
        if self.looks == 2:  # the first look is the scan's own, which asks for the first name that it saw
            with os.scandir(self.descriptor) as found:
                os.unlink(next(found).name, dir_fd=self.descriptor)
        return super().open_folder(path, create=create)


def test_attributes_and_acls_of_files_and_folders_are_taken_in(tmp_path):
    need_xattrs(tmp_path)
    need_acls(tmp_path)
    (tmp_path / "folder").mkdir()
    os.setxattr(tmp_path / "folder", "user.kind", b"study")
    (tmp_path / "file").write_bytes(b"x")
    os.setxattr(tmp_path / "file", "user.b", b"\0\xff")
    os.setxattr(tmp_path / "file", b"user.\xff", b"")
    os.setxattr(tmp_path / "file", "system.posix_acl_access", ACL)
    found = scan(Folder(str(tmp_path)))
    assert extras(found) == {
        b"file": Extras(xattrs=((ACCESS_ACL, ACL), (b"user.b", b"\0\xff"), (b"user.\xff", b""))),
        b"folder": Extras(xattrs=((b"user.kind", b"study"),)),
    }
    digest, encoded = encode_index(Index(entries=tuple(found.index.entries)))
    assert decode_index(encoded, digest).entries == tuple(found.index.entries)


def test_what_grants_rights_is_not_taken_in(tmp_path):
    need_xattrs(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    try:
        os.setxattr(tmp_path / "file", "trusted.tiers", b"1")
    except PermissionError:
        pytest.skip("only root may set the system's own attributes")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(tmp_path / "file", "security.capability", capability)
    assert extras(scan(Folder(str(tmp_path)))) == {}


def test_too_many_attributes_are_named_each_time_and_the_file_is_taken(tmp_path):
    need_xattrs(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    for number in range(65):
        os.setxattr(tmp_path / "file", f"user.{number}", b"")
    for _ in range(2):
        cache = ScanCache(str(tmp_path.parent / f"{tmp_path.name}.sqlite"))
        found = scan(Folder(str(tmp_path)), cache=cache)
        cache.close()
        assert [(problem.path, problem.kind) for problem in found.problems] == [("file", "unfit")]
        assert "65 extended attributes" in found.problems[0].reason
        assert found.files == 1
        assert extras(found) == {}


def test_the_cache_knows_them_and_a_changed_attribute_is_seen(tmp_path):
    need_xattrs(tmp_path)
    need_holes(tmp_path)
    write_sparse(tmp_path / "sparse", 1 << 20, (300_000, b"data"))
    (tmp_path / "other").hardlink_to(tmp_path / "sparse")
    os.setxattr(tmp_path / "sparse", "user.a", b"1")
    file = str(tmp_path.parent / f"{tmp_path.name}.sqlite")

    def once():
        cache = ScanCache(file)
        found = scan(Folder(str(tmp_path)), cache=cache)
        cache.close()
        return found

    first = once()
    assert extras(first) == dict.fromkeys(
        [b"other", b"sparse"], Extras(holes=True, same=b"other", xattrs=((b"user.a", b"1"),))
    )
    while (second := once()).bytes_read:  # files settle: see `cache.has_settled`
        pass
    assert second.index == first.index
    os.setxattr(tmp_path / "sparse", "user.a", b"2")
    assert extras(once())[b"other"].xattrs == ((b"user.a", b"2"),)


def test_a_dense_file_of_zeros_has_no_holes_and_a_sparse_one_has(tmp_path):
    need_holes(tmp_path)
    (tmp_path / "dense").write_bytes(bytes(1 << 20))
    write_sparse(tmp_path / "end", 1 << 20, (0, b"x" * 5000))
    write_sparse(tmp_path / "all", 10_000)
    assert set(extras(scan(Folder(str(tmp_path))))) == {b"end", b"all"}


@pytest.mark.parametrize("seed", range(3))
def test_writing_around_holes_gives_the_same_bytes_whatever_was_there(tmp_path, seed):
    draw = random.Random(seed)
    want = bytearray(200_000)
    for _ in range(6):
        at = draw.randrange(len(want) - 9000)
        want[at : at + draw.randrange(9000)] = draw.randbytes(draw.randrange(1, 9000))
    del want[200_000:]
    file = tmp_path / "file"
    file.write_bytes(draw.randbytes(draw.choice([0, 50_000, 200_000])))
    descriptor = os.open(file, os.O_RDWR)
    cuts = sorted({0, len(want), *(draw.randrange(len(want)) for _ in range(5))})
    pieces = list(pairwise(cuts))
    draw.shuffle(pieces)
    for start, end in pieces:
        write_around_holes(descriptor, bytes(want[start:end]), start)
    os.truncate(descriptor, len(want))
    os.close(descriptor)
    assert file.read_bytes() == want


def test_zeros_take_no_room(tmp_path):
    need_holes(tmp_path)
    data = b"a" * 5000 + bytes(995_000) + b"b"
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write_around_holes(descriptor, data, 0)
    room = os.fstat(descriptor).st_blocks * 512
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == data
    assert room < 100_000


def test_attributes_become_exactly_those_that_are_wanted(tmp_path):
    need_xattrs(tmp_path)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.setxattr(descriptor, "user.old", b"1")
    os.setxattr(descriptor, "user.kept", b"1")
    wanted = ((b"user.kept", b"2"), (b"user.new", b"3"))
    assert write_xattrs(descriptor, wanted) == wanted
    assert read_xattrs(descriptor) == wanted
    too_large = (b"user.large", bytes(1 << 17))
    assert write_xattrs(descriptor, (*wanted, too_large)) == wanted
    assert read_xattrs(descriptor) == wanted
    os.close(descriptor)
