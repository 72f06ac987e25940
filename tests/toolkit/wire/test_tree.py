"""Indexes in parts: frozen bytes, equal trees for equal entries, and a corpus of roots that an enemy might write."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import msgspec
import pytest

from toolkit.errors import IntegrityError, UnsafePathError
from toolkit.wire.digest import digest_of, from_raw, to_raw
from toolkit.wire.document import encode_msgpack
from toolkit.wire.extras import Extras
from toolkit.wire.index import ChunkRef, Entry, Index, encode_index, file_entry
from toolkit.wire.tree import (
    MAX_ENTRIES,
    MAX_PART_BYTES,
    MAX_ROOT_BYTES,
    MIN_ENTRIES,
    WHOLE_ENTRIES,
    Part,
    Root,
    Tree,
    TreeBuilder,
    describe,
    read_tree,
    tree_of,
)


def many(count: int, seed: int = 1) -> list[Entry]:
    draw = random.Random(seed)
    entries = [Entry(b"%03d" % number, "folder", 0, 0o755, number) for number in range(count // 50)]
    for number in range(count):
        ref = ChunkRef(digest_of(draw.randbytes(8)), 1 + draw.randrange(9000))
        entries.append(file_entry(b"%03d/%06d" % (number // 50, number), [ref], mtime_ns=number))
    return sorted(entries, key=lambda entry: entry.path)


def nothing(_: str) -> bytes:
    pytest.fail("nobody may ask for a part")


def objects(tree: Tree) -> dict[str, bytes]:
    stored = {from_raw(part.digest): tree.load(from_raw(part.digest)) for part in tree.parts}
    return {**stored, tree.root()[0]: tree.root()[1]}


def read_back(tree: Tree) -> Tree:
    stored = objects(tree)
    return read_tree(stored[tree.digest], tree.digest, lambda digest: stored[digest])


def test_the_frozen_tree_has_the_same_bytes_today():
    frozen = json.loads((Path(__file__).parent / "vectors/index-2-parts.json").read_text())
    tree = tree_of(many(frozen["files"]))
    assert tree.digest == frozen["digest"]
    assert base64.b64encode(tree.root()[1]).decode() == frozen["root"]
    parts = objects(tree)
    read = read_tree(base64.b64decode(frozen["root"]), frozen["digest"], lambda digest: parts[digest])
    assert list(read.entries) == many(frozen["files"])


def test_what_is_small_is_written_whole_in_the_bytes_of_before():
    entries = many(WHOLE_ENTRIES)[:WHOLE_ENTRIES]
    tree = tree_of(entries)
    assert (tree.digest, tree.root()[1]) == encode_index(Index(entries=tuple(entries)))
    assert tree.whole
    assert not tree_of([*entries, file_entry(b"zz", [])]).whole
    empty = tree_of([])
    assert (empty.digest, list(empty.entries), empty.files) == (encode_index(Index())[0], [], 0)


def test_a_tree_comes_back_as_it_went():
    entries = many(20_000)
    tree = read_back(tree_of(entries))
    assert list(tree.entries) == entries
    assert len(tree.entries) == len(entries)
    assert (tree.files, tree.leaves, tree.total_bytes) == (20_000, 20_000, sum(each.size for each in entries))
    for each in entries[::777]:
        assert tree.get(each.path) == each
        assert tree.get(each.path + b"!") is None
    assert (tree.get(b"!"), tree.get(b"zzz")) == (None, None)
    assert all(MIN_ENTRIES <= part.entries <= MAX_ENTRIES for part in tree.parts[:-1])


def test_one_change_touches_one_or_two_parts():
    entries = many(20_000)
    before = {part.digest for part in tree_of(entries).parts}
    for at in (0, 777, 10_000, len(entries) - 1):
        edited = msgspec.structs.replace(entries[at], mtime_ns=-1)
        after = {part.digest for part in tree_of([*entries[:at], edited, *entries[at + 1 :]]).parts}
        assert len(after - before) == 1
        fewer = {part.digest for part in tree_of([*entries[:at], *entries[at + 1 :]]).parts}
        assert len(fewer - before) <= 3, "cuts are found again soon after a path that has gone"


@pytest.mark.parametrize("seed", range(5))
def test_a_tree_that_takes_parts_over_is_the_one_that_is_made_anew(seed):
    draw = random.Random(seed)
    old = many(9000, seed)
    tree = tree_of(old)
    gone = {each.path for each in draw.sample(old, draw.choice([1, 40])) if each.kind == "file"}
    new = sorted(
        [each for each in old if each.path not in gone]
        + [
            file_entry(b"%03d/new-%d" % (draw.randrange(180), number), [])
            for number in range(draw.randrange(60))
        ],
        key=lambda entry: entry.path,
    )
    builder = TreeBuilder(tree.load)
    at = 0
    for part in tree.parts:
        end = at
        while end < len(new) and new[end].path <= part.last:
            end += 1
        same = tuple(new[at:end]) == tree.part(part)
        if not (same and builder.reuse(part)):
            builder.add(new[at:end])
        at = end
    builder.add(new[at:])
    made = builder.finish()
    assert made.digest == tree_of(new).digest
    assert list(made.entries) == new


def test_second_names_may_lie_in_another_part_than_the_first_one():
    first = msgspec.structs.replace(file_entry(b"!first", []), extras=Extras(same=b"!first"))
    second = msgspec.structs.replace(first, path=b"zzz")
    tree = read_back(tree_of([first, *many(9000), second]))
    assert list(tree.entries)[-1] == second
    assert tree.get(b"zzz") == second
    alone = read_back(tree_of([*many(9000), second]))
    with pytest.raises(IntegrityError, match="second name"):
        list(alone.entries)


GOOD = many(9000)


def root_of(parts: list[Part], data: dict[str, bytes]) -> Tree:
    root = encode_msgpack(Root(parts=tuple(parts)))
    return read_tree(root, digest_of(root), lambda digest: data[digest])


def spoiled(what: str) -> tuple[list[Part], dict[str, bytes]]:  # noqa: C901, PLR0912 -- one line a way to lie
    tree = tree_of(GOOD)
    parts, data = list(tree.parts), objects(tree)
    replace = msgspec.structs.replace

    def part_of(entries: list[Entry]) -> Part:
        digest, coded = encode_index(Index(entries=tuple(entries)))
        data[digest] = coded
        return describe(to_raw(digest), entries)

    if what == "twice":
        parts.insert(1, parts[0])
    elif what == "unsorted":
        parts[0], parts[1] = parts[1], parts[0]
    elif what == "overlap":
        parts[0] = part_of([*tree.part(parts[0]), *tree.part(parts[1])[:1]])
    elif what == "backwards":
        parts[0] = replace(parts[0], first=parts[0].last, last=parts[0].first)
    elif what == "missing":
        del data[from_raw(parts[2].digest)]
    elif what == "root as part":
        digest, coded = tree.root()
        data[digest] = coded
        parts[1] = replace(parts[1], digest=to_raw(digest))
    elif what == "other part":
        parts[1] = replace(parts[1], digest=parts[2].digest)
    elif what == "damaged":
        data[from_raw(parts[1].digest)] += b"\0"
    elif what == "below a file of another part":
        parts[-1] = part_of([*tree.part(parts[-1]), file_entry(b"zzz", [])])
        parts.append(part_of([file_entry(b"zzz-", []), file_entry(b"zzz/x", [])]))
    elif what == "empty part":
        parts.append(part_of([]))
    elif what == "no parts":
        parts = []
    elif what == "path":
        parts[-1] = replace(parts[-1], last=b"../../etc/passwd")
    elif what == "short digest":
        parts[0] = replace(parts[0], digest=b"x")
    else:
        name, _, change = what.partition(" ")
        parts[1] = replace(parts[1], **{name: getattr(parts[1], name) + int(change)})
    return parts, data


@pytest.mark.parametrize(
    "what",
    ["twice", "unsorted", "overlap", "backwards", "missing", "root as part", "other part", "damaged", "path",
     "below a file of another part", "empty part", "no parts", "short digest", "entries 1", "entries -5000", "files 1",
     "files -5000", "folders 1", "folders 5000", "total_bytes 1", f"total_bytes {2**63}", f"total_bytes -{2**62}"],
)  # fmt: skip
def test_a_root_that_lies_is_refused_before_or_while_its_parts_are_read(what):
    parts, data = spoiled(what)
    with pytest.raises((IntegrityError, UnsafePathError, KeyError)):
        list(root_of(parts, data).entries)
    whole = tree_of(GOOD)
    assert list(root_of(list(whole.parts), objects(whole)).entries) == GOOD


@pytest.mark.parametrize(
    "data",
    [msgspec.msgpack.encode({"format": 2, "parts": 7}), msgspec.msgpack.encode({"format": 2, "parts": [[1]]}),
     msgspec.msgpack.encode({"format": 1, "parts": []}), msgspec.msgpack.encode({"format": 3, "parts": []}),
     msgspec.msgpack.encode({"entries": [], "format": 2, "parts": []}), b"", b"\xc0",
     b"\x81\xa5parts\xdd\xff\xff\xff\xff",
     b"\x91" * 5000],
)  # fmt: skip
def test_what_is_no_root_is_refused_though_its_digest_fits(data):
    with pytest.raises(IntegrityError):
        read_tree(data, digest_of(data), nothing)


def test_other_bytes_than_named_and_too_many_of_them_are_refused():
    digest, data = tree_of(GOOD).root()
    with pytest.raises(IntegrityError, match="does not hold the bytes"):
        read_tree(data + b"\0", digest, nothing)
    path = b"/".join([b"a" * 200] * 19)
    filler = Part(to_raw(digest_of(b"")), path, path, 1, 1, 0, 0)
    bomb = encode_msgpack(Root(parts=(filler,) * (MAX_ROOT_BYTES // 9000)))
    with pytest.raises(IntegrityError, match="overlap"):
        read_tree(bomb, digest_of(bomb), nothing)
    large = bomb + bytes(MAX_ROOT_BYTES)
    with pytest.raises(IntegrityError):
        read_tree(large, digest_of(large), nothing)


def test_a_part_ends_where_its_bytes_are_many():
    refs = [ChunkRef(digest_of(b"%d" % number), 1) for number in range(400)]
    tree = tree_of(file_entry(b"%06d" % number, refs) for number in range(WHOLE_ENTRIES + 1))
    assert all(len(tree.load(from_raw(part.digest))) < MAX_PART_BYTES + 40_000 for part in tree.parts)
    assert len(tree.parts) > 10
