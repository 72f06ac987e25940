"""Stores that an enemy has written: each is refused by name, and a restore writes nothing outside of its root.

A pack of known chunks, an index and a Ref are written byte by byte into a folder; a task restores from it into a
mirror. Beside that lie a secret and an empty folder, which must look afterwards as they did before.
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.toolkit.sync.trees import photograph, storage
from toolkit.errors import IntegrityError, TiersError, UnsafePathError
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.pack import StoredChunk, encode_pack
from toolkit.sync.run import run_task
from toolkit.sync.task import SyncTask
from toolkit.wire.chunk import MAX_CHUNK_BYTES, store_chunk
from toolkit.wire.digest import digest_of, to_raw

EVIL = b"evil"
CHUNK = to_raw(digest_of(EVIL)) + struct.pack(">I", len(EVIL))
HEAD = "routes/archive/head"


def file(path: bytes, *rest: object, chunks: bytes = CHUNK, size: int = 4, mode: int = 0o644) -> list[object]:
    return [path, "file", size, mode, 0, chunks, b"", *rest]


def link(path: bytes, target: bytes) -> list[object]:
    return [path, "link", 0, 0o777, 0, b"", target]


def folder(path: bytes) -> list[object]:
    return [path, "folder", 0, 0o755, 0, b"", b""]


def index(*entries: object, number: int = 2) -> bytes:
    return msgspec.msgpack.encode({"entries": entries, "format": number})


class Store:
    """A store of packs that somebody else fills, and the place that is restored to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cold = root / "cold"
        self.back = root / "back"
        (root / "outside").mkdir()
        (root / "secret").write_bytes(b"keep out")
        (root / "secret").chmod(0o600)
        self.task = SyncTask(
            route="recall",
            source=storage(self.cold, "packs"),
            targets=(storage(self.back),),
            path="frames",
        )
        self.pack(EVIL)
        self.before = self.outside()

    def outside(self) -> object:
        seen = photograph(self.root)
        return {path: what for path, what in seen.items() if not path.startswith(("cold", "back"))}

    def put(self, key: str, data: bytes) -> None:
        path = self.cold / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def pack(self, *chunks: bytes) -> str:
        name, data = encode_pack(
            [StoredChunk(digest_of(each), len(each), store_chunk(each)) for each in chunks]
        )
        self.put(f"packs/{name}", data)
        return name

    def ref(self, name: str, digest: str, /, **fields: object) -> None:
        known = {
            "digest": digest,
            "format": 1,
            "kind": "index",
            "path": "frames",
            "sequence": 1,
            "written_ms": 1,
        }
        self.put(f"refs/{name}", msgspec.json.encode({**known, **fields}))

    def point(self, data: bytes, name: str = HEAD, **fields: object) -> str:
        digest = digest_of(data)
        self.put(f"indexes/{digest}", data)
        self.ref(name, digest, **fields)
        return digest

    def restore(self) -> TiersError | None:
        """Restore; give what was refused."""
        try:
            result = run_task(self.task)
        except TiersError as error:
            return error
        finally:
            assert self.outside() == self.before, "something was written outside"
        (target,) = result.targets
        if not target.error:
            return None
        kinds = {kind.exit_code: kind for kind in (TiersError, IntegrityError)}
        return kinds.get(target.exit_code, TiersError)(target.error)

    def refused(self, names: str) -> None:
        """Restore, and see that it was refused for the right reason and laid nothing down."""
        error = self.restore()
        assert isinstance(error, IntegrityError), error
        assert names in error.message
        assert photograph(self.back) in ({}, {"frames": photograph(self.back).get("frames")})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """One store for all that is refused before anything is laid down."""
    return Store(tmp_path_factory.mktemp("refusing"))


PATHS = [
    b"/absolute", b"../outside/x", b"a/../../outside/x", b"..", b".", b"", b"a//b", b"a/", b"./a", b"a\0b",
    b"x" * 256, b"y/" * 2048 + b"z", b"../../etc/cron.d/x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_path_that_leaves_is_refused(refusing, path, kind):
    entry = {"file": file(path), "link": link(path, b"/etc"), "folder": folder(path)}[kind]
    refusing.point(index(entry, number=1))
    refusing.refused("path")


ACL = b"\2\0\0\0" + struct.pack("<HHI", 1, 7, 0)
ENTRIES = {
    "through a link": ([link(b"a", b"../outside"), file(b"a/x")], "'a/x' lies below something"),
    "through a link far away": ([link(b"a", b"/"), file(b"a-b"), file(b"a/b/c")], "'a/b/c' lies below something"),
    "below a file": ([file(b"a"), folder(b"a/b")], "'a/b' lies below something"),
    "the same path twice": ([file(b"a"), link(b"a", b"/etc/passwd")], "not sorted at 'a'"),
    "out of order": ([file(b"b"), file(b"a")], "not sorted at 'a'"),
    "hard link to outside": ([file(b"a", {"same": b"../secret"})], "'a' is no second name of '../secret'"),
    "hard link to an absolute path": ([file(b"a", {"same": b"/etc/shadow"})], "no second name of '/etc/shadow'"),
    "hard link to what is missing": ([file(b"b", {"same": b"a"})], "'b' is no second name of 'a'"),
    "hard link to what comes later": (
        [file(b"a", {"same": b"b"}), file(b"b", {"same": b"b"})], "'a' is no second name"
    ),
    "hard link to a link": ([link(b"a", b"../secret"), file(b"b", {"same": b"a"})], "'b' is no second name"),
    "hard link to a folder": ([folder(b"a"), file(b"b", {"same": b"a"})], "'b' is no second name"),
    "hard link to other content": (
        [file(b"a", {"same": b"a"}), file(b"b", {"same": b"a"}, size=0, chunks=b"")], "'b' is no second name"
    ),
    "a link that is a hard link": ([[*link(b"a", b"x"), {"same": b"a"}]], "'a' has extras that do not fit"),
    "capabilities": ([file(b"a", {"xattrs": [[b"security.capability", b"\1"]]})], "'a' has the extended attribute"),
    "what root alone may set": (
        [file(b"a", {"xattrs": [[b"trusted.overlay.opaque", b"y"]]})], "'a' has the extended attribute"
    ),
    "SELinux": ([file(b"a", {"xattrs": [[b"security.selinux", b"y"]]})], "'a' has the extended attribute"),
    "another ACL": ([file(b"a", {"xattrs": [[b"system.nfs4_acl", ACL]]})], "'a' has the extended attribute"),
    "a folder's ACL on a file": ([file(b"a", {"xattrs": [[b"system.posix_acl_default", ACL]]})], "'a' has a damaged"),
    "attributes without end": (
        [file(b"a", {"xattrs": [[b"user.%05d" % n, b"x" * 600] for n in range(120)]})], "which is too much"
    ),
    "an unknown extra": ([file(b"a", {"owner": 0})], "unknown field"),
    "a set-uid bit beyond the bits": ([file(b"a", mode=0o14755)], "'a' has the impossible mode"),
    "more bytes than chunks": ([file(b"a", size=5)], "'a' has 5 bytes but its chunks have 4"),
    "fewer bytes than chunks": ([file(b"a", size=3)], "'a' has 3 bytes"),
    "a negative size": ([file(b"a", size=-1)], "'a' has -1 bytes"),
    "more bytes than there are": ([file(b"a", size=2**63)], "index"),
    "a chunk of nothing": ([file(b"a", chunks=CHUNK[:-4] + bytes(4), size=0)], "impossible size 0"),
    "a chunk without end": ([file(b"a", chunks=CHUNK[:-4] + b"\xff" * 4, size=2**32 - 1)], "impossible size"),
    "a chunk of two sizes": ([file(b"a"), file(b"b", chunks=CHUNK[:-1] + b"\5", size=5)], "'b' gives chunk"),
    "half a chunk": ([file(b"a", chunks=CHUNK[:-1])], "'a' has a chunk list"),
    "a device": ([[b"a", "device", 0, 0o644, 0, b"", b""]], "device"),
    "a link with a NUL": ([link(b"a", b"x\0y")], "'a' has a link target"),
    "a folder with bytes": ([[b"a", "folder", 4, 0o755, 0, CHUNK, b""]], "'a' has a chunk list"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENTRIES)
def test_entries_that_contradict_are_refused(refusing, case):
    entries, names = ENTRIES[case]
    refusing.point(index(*entries))
    refusing.refused(names)


ARRAY = b"\xdd" + struct.pack(">I", 10**9)
DOCUMENTS = {
    "nothing": b"",
    "no map": b"\xc0",
    "10^9 entries": b"\x82\xa7entries" + ARRAY + b"\xa6format\x01",
    "a path of 4 GiB": b"\x82\xa6format\x01\xa7entries\x91\x97\xc6\xff\xff\xff\xffa",
    "arrays in arrays": b"\x82\xa6format\x01\xa7entries" + b"\x91" * 500_000,
    "10^9 parts": b"\x82\xa6format\x02\xa5parts" + ARRAY,
    "parts of nothing": msgspec.msgpack.encode({"format": 2, "parts": []}),
    "a newer format": index(number=99),
    "a word for a number": msgspec.msgpack.encode({"entries": [], "format": "one"}),
    "more than is known": msgspec.msgpack.encode({"entries": [], "format": 1, "run": "sh"}),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_what_is_no_index_is_refused_before_memory_is_taken(refusing, case):
    digest = refusing.point(DOCUMENTS[case])
    refusing.refused(digest[:12])


def parts(*rows: list[object]) -> bytes:
    return msgspec.msgpack.encode({"format": 2, "parts": rows})


def test_a_root_that_lies_about_its_parts_is_refused(store):
    inner = index(file(b"m"), number=1)
    name = to_raw(digest_of(inner))
    store.put(f"indexes/{digest_of(inner)}", inner)
    true = [name, b"m", b"m", 1, 1, 0, 4]
    store.point(parts(true))
    assert store.restore() is None, "the true one is taken"
    (store.back / "frames/m").unlink()
    for place, lie in [
        (1, b"../m"),
        (1, b"a"),
        (2, b"n"),
        (3, 10**9),
        (4, 0),
        (5, 1),
        (6, 5),
        (3, -1),
        (0, b"short"),
    ]:
        row = [*true]
        row[place] = lie
        store.point(parts(row))
        store.refused("")
    store.point(parts(true, [name, b"n", b"n", 1, 1, 0, 4]))
    store.refused("not sorted at 'm'")
    store.point(parts(true, true))
    store.refused("overlap")
    root = parts([to_raw(digest_of(parts(true))), b"m", b"m", 1, 1, 0, 4])
    store.put(f"indexes/{digest_of(parts(true))}", parts(true))
    store.point(root)  # parts of parts
    store.refused(digest_of(parts(true))[:12])


def test_two_indexes_that_only_together_leave_their_root_do_not(store):
    """One route brings a link, another one a file below it: each index is right by itself."""
    store.point(index(link(b"d", b"../../outside"), number=1))
    store.point(index(folder(b"d"), file(b"d/x"), number=1), "routes/other/head", written_ms=2)
    assert store.restore() is None
    assert (store.back / "frames/d/x").read_bytes() == EVIL
    assert not (store.back / "frames/d").is_symlink()
    store.point(
        index(link(b"d", b"../../outside"), number=1), written_ms=3
    )  # the other way round: the link is later
    assert store.restore() is None
    assert (store.back / "frames/d").is_symlink()


@pytest.mark.parametrize(
    "path",
    [
        "frames/../../outside",
        "../outside",
        "/",
        "frames/..",
        "frames//x",
        "frames/./x",
        "frames/\0",
        "\ud800",
    ],
)
def test_a_ref_whose_path_leaves_is_refused(refusing, path):
    """What a store holds below a path is put there: `frames/../../outside` begins like a path below `frames`."""
    refusing.point(index(file(b"x"), number=1))
    fields = {"digest": digest_of(index(file(b"x"), number=1)), "format": 1, "kind": "index", "sequence": 1}
    text = msgspec.json.encode({**fields, "written_ms": 1}).decode()[:-1] + f',"path":"{_escaped(path)}"}}'
    refusing.put(f"refs/{HEAD}", text.encode())
    refusing.refused(HEAD)


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(sign):04x}" for sign in text)


REFS = {
    "a way out as a digest": {"digest": "../../secret"},
    "a short digest": {"digest": "00"},
    "a digest in capitals": {"digest": "A" * 64},
    "an unknown kind": {"kind": "command"},
    "an unknown field": {"run": "sh"},
    "a newer format": {"format": 99},
}


@pytest.mark.parametrize("case", REFS)
def test_a_ref_that_is_none_is_refused(refusing, case):
    refusing.point(index(file(b"x"), number=1), **REFS[case])
    refusing.refused(HEAD)


def test_a_ref_to_something_else_is_refused(store):
    foreign = store.pack(b"other", EVIL)
    store.put(f"indexes/{foreign}", (store.cold / f"packs/{foreign}").read_bytes())
    store.ref(HEAD, foreign)  # the bytes fit the digest, but they are a pack
    store.refused(foreign[:12])
    other = index(file(b"x"), number=1)
    digest = digest_of(index(number=1))
    store.put(f"indexes/{digest}", other)  # an index that lies under another one's name
    store.ref(HEAD, digest)
    store.refused("does not hold the bytes")
    store.put(f"refs/{HEAD}", b'{"digest":' + b"[" * 20_000)
    store.refused(HEAD)
    store.put(f"refs/{HEAD}", b" " * 70_000)
    store.refused(HEAD)


def packed(
    stored: bytes, *rows: tuple[bytes, int, int, int], magic: bytes = b"TPK1", count: int | None = None
) -> bytes:
    table = b"".join(name + struct.pack(">III", *numbers) for name, *numbers in rows)
    footer = magic + struct.pack(">I", len(rows) if count is None else count) + to_raw(digest_of(table))
    return stored + table + footer


NAME = CHUNK[:32]
RAW = b"\0" + EVIL
BOMB = zstandard.ZstdCompressor().compress(bytes(MAX_CHUNK_BYTES))
PACKS = {
    "a chunk that begins behind the end": packed(RAW, (NAME, 1000, 5, 4)),
    "a chunk that ends behind the end": packed(RAW, (NAME, 0, 6, 4)),
    "a chunk that ends in the list": packed(RAW, (NAME, 4, 40, 4)),
    "offsets that wrap around": packed(RAW, (NAME, 2**32 - 1, 6, 4)),
    "a chunk of 4 GiB": packed(RAW, (NAME, 0, 2**32 - 1, 4)),
    "a chunk that opens to 4 GiB": packed(RAW, (NAME, 0, 5, 2**32 - 1)),
    "a chunk of nothing": packed(RAW, (NAME, 0, 0, 4)),
    "more chunks than fit": packed(RAW, (NAME, 0, 5, 4), count=2**32 - 1),
    "no chunks": packed(RAW, count=0),
    "another end": packed(RAW, (NAME, 0, 5, 4), magic=b"TPK9"),
    "another chunk": packed(b"\0good", (NAME, 0, 5, 4)),
    "an unknown coding": packed(b"\2evil", (NAME, 0, 5, 4)),
    "no zstd": packed(b"\1evil", (NAME, 0, 5, 4)),
    "a bomb": packed(b"\1" + BOMB, (NAME, 0, 1 + len(BOMB), 4)),
    "a bomb that says so": packed(b"\1" + BOMB, (NAME, 0, 1 + len(BOMB), MAX_CHUNK_BYTES)),
    "a bomb that does not say its size": packed(
        b"\1" + (stream := zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10**6))),
        (NAME, 0, 1 + len(stream), 4),
    ),
    "two frames": packed(b"\1" + (two := zstandard.compress(EVIL) * 2), (NAME, 0, 1 + len(two), 4)),
    "nothing": b"",
    "only an end": packed(b"", (NAME, 0, 5, 4))[-40:],
}  # fmt: skip


@pytest.mark.parametrize("case", PACKS)
def test_a_pack_that_lies_is_refused(store, case):
    for each in (store.cold / "packs").iterdir():
        each.unlink()
    name = digest_of(PACKS[case])
    store.put(f"packs/{name}", PACKS[case])
    store.point(index(file(b"x"), number=1))
    store.refused(name[:12])


@pytest.mark.parametrize("key", ["packs", "indexes", "refs/routes"])
def test_a_store_with_links_in_it_is_not_followed(store, key):
    store.point(index(file(b"x"), number=1))
    moved = store.root / "moved"
    (store.cold / key).rename(moved)
    (store.cold / key).symlink_to(moved)
    store.before = store.outside()
    error = store.restore()
    assert error is not None
    assert photograph(store.back) in ({}, {"frames": photograph(store.back).get("frames")})


@pytest.mark.parametrize("path", [b"..", b"sub/../../outside", b"sub//x", b"./sub"])
def test_a_folder_lets_nobody_out_who_forgot_to_check_a_path(store, path):
    (store.back / "sub").mkdir()
    with pytest.raises(UnsafePathError), Folder(str(store.back)).parent(path + b"/x", create=True):
        pass
    assert store.outside() == store.before


@pytest.mark.parametrize(
    "planted", ["frames", "frames/sub", ".tiers", ".tiers/partial", ".tiers/partial/routes"]
)
def test_links_that_lie_in_the_target_are_not_followed(store, planted):
    store.point(index(folder(b"sub"), file(b"sub/x"), number=1))
    place = store.back / planted
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(store.root / "outside")
    store.restore()
    assert place.is_symlink()


@pytest.mark.parametrize(
    ("make", "answer"), [("symlink_to", "symbolic links"), ("hardlink_to", "replaced by another")]
)
def test_a_draft_that_somebody_made_a_link_is_not_written_nor_given_a_mode(store, make, answer):
    """Between the last byte of a draft and its place there is time to put a link there."""
    store.point(index(file(b"x", mode=0o666), number=1))
    swap = Swap(store, make)
    (target,) = run_task(store.task, listen=swap).targets
    assert swap.done
    assert answer in target.error
    assert store.outside() == store.before
    assert store.restore() is None, "what was planted is put aside the next time"
    assert (store.back / "frames/x").read_bytes() == EVIL


class Swap:
    """Puts a link to the secret in the place of each draft as soon as something has arrived."""

    def __init__(self, store: Store, make: str) -> None:
        self.store = store
        self.make = make
        self.done = False

    def __call__(self, event: object) -> None:
        if type(event).__name__ == "Moved":
            for draft in (self.store.back / ".tiers/partial/routes/recall").iterdir():
                draft.unlink()
                getattr(draft, self.make)(self.store.root / "secret")
                self.done = True


@pytest.mark.parametrize("case", ["10^9 entries", "10^9 parts", "a path of 4 GiB", "arrays in arrays"])
def test_a_large_claim_takes_no_memory(store, case, tmp_path):
    """In a process that may have 1 GiB of addresses, of which the interpreter needs a part."""
    digest = store.point(DOCUMENTS[case])
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from toolkit.wire.tree import read_tree\n"
        "from toolkit.errors import IntegrityError\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "try: read_tree(data, sys.argv[2], None)\n"
        "except IntegrityError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / f"cold/indexes/{digest}", digest],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


# ---------------------------------------------------------------- what nobody thought of
NAMES = st.sampled_from(
    [b"a", b"b", b"A", b"..", b".", b"", b"\0", b"\xff", b"a\n", b".tiers", b"outside", b"c" * 255]
)
PATH = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
TARGET = st.sampled_from([b"../outside", b"/", b"a", b"../../secret", b"."])
EXTRAS = st.sampled_from(
    [None, {"same": b"a"}, {"same": b"../secret"}, {"holes": True}, {"xattrs": [[b"user.a", b"1"]]}]
)
ENTRY = st.one_of(
    st.tuples(PATH, EXTRAS).map(lambda each: file(each[0], each[1])),
    st.tuples(PATH, TARGET).map(lambda each: link(*each)),
    PATH.map(folder),
)
FEW = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FEW
@given(entries=st.lists(ENTRY, min_size=1, max_size=5), ordered=st.booleans())
def test_whatever_an_index_says_nothing_leaves_the_root(tmp_path_factory, entries, ordered):
    store = Store(tmp_path_factory.mktemp("any"))
    store.point(index(*(sorted(entries, key=lambda entry: entry[0]) if ordered else entries)))
    store.restore()
    store.restore()  # what the first one laid down is no way out either


@FEW
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 3), which=st.sampled_from(["index", "pack", "ref"]))
def test_flipped_bits_are_refused_or_harmless(tmp_path_factory, seed, flips, which):
    store = Store(tmp_path_factory.mktemp("flip"))
    digest = store.point(index(file(b"a", {"same": b"a"}), file(b"b", {"same": b"a"}), link(b"c", b"a")))
    place = {"index": f"indexes/{digest}", "ref": f"refs/{HEAD}"}.get(which)
    path = store.cold / place if place else next((store.cold / "packs").iterdir())
    data = bytearray(path.read_bytes())
    draw = random.Random(seed)
    for _ in range(flips):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    if store.restore() is None and (store.back / "frames").exists():
        assert (store.back / "frames/a").read_bytes() == EVIL
        assert (store.back / "frames/c").readlink() == Path("a")
