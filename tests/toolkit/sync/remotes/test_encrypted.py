"""A Remote that encrypts: the contract around memory and a folder, and what whoever holds the store can try."""

from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote, RemoteContract
from toolkit.errors import IntegrityError, RemoteUnavailableError, UsageError
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.cipher_marks import refuse_encrypted
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.encrypted import EncryptedRemote
from toolkit.sync.remotes.remote import Found, check_key
from toolkit.wire.chunk import store_chunk
from toolkit.wire.cipher import SEALED_SEGMENT_BYTES, SEGMENT_BYTES
from toolkit.wire.cipher_keys import CipherKey, CipherKeys
from toolkit.wire.digest import digest_of

OLD, NEW, OTHER = (CipherKey(bytes([number]) * 32) for number in (1, 2, 3))
KEYS = CipherKeys((OLD,))


class TestEncryptedMemory(RemoteContract):
    @pytest.fixture
    def remote(self):
        return EncryptedRemote(MemoryRemote(), KEYS)


class TestEncryptedFolder(RemoteContract):
    @pytest.fixture
    def remote(self, tmp_path):
        return EncryptedRemote(DirectoryRemote(str(tmp_path / "store"), create=True), KEYS)


@pytest.fixture
def inner():
    return MemoryRemote()


@pytest.fixture
def remote(inner):
    return EncryptedRemote(inner, KEYS)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def name_of(inner: MemoryRemote) -> str:
    """Give the only object's name in the store."""
    (name,) = (key for key in inner.objects if not key.startswith("cipher/"))
    return name


@pytest.mark.parametrize(
    "size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES, 200_000]
)
def test_every_range_is_that_of_the_plain_object(inner, size):
    data = noise(size)
    EncryptedRemote(inner, KEYS).write("packs/a", data)
    borders = {0, 1, size // 2, max(0, size - 1), size, size + 1, size + SEGMENT_BYTES}
    borders |= {number * SEGMENT_BYTES + shift for number in (1, 2, 3) for shift in (-1, 0, 1)}
    remote = EncryptedRemote(inner, KEYS)
    assert remote.read("packs/a") == data
    assert list(remote.list()) == [Found("packs/a", size)]
    for start in sorted(borders):
        assert remote.read("packs/a", start=start) == data[start:]
        for end in sorted(border for border in borders if border >= start):
            assert remote.read("packs/a", start=start, length=end - start) == data[start:end], (start, end)


def test_the_limit_counts_plain_bytes(remote):
    remote.write("packs/a", bytes(200_000))
    assert len(remote.read("packs/a", limit=200_000)) == 200_000
    assert len(remote.read("packs/a", start=100_000, limit=100_000)) == 100_000
    with pytest.raises(IntegrityError, match="100000 bytes to read; at most 99999 are"):
        remote.read("packs/a", start=100_000, limit=99_999)
    with pytest.raises(IntegrityError, match="150000 bytes to read; at most 5 are"):
        remote.read("packs/a", length=150_000, limit=5)


def test_a_second_range_of_an_object_costs_one_request():
    class Counting(MemoryRemote):
        reads = 0

        def read(self, key, **options):
            self.reads += 1
            return super().read(key, **options)

    counting = Counting()
    EncryptedRemote(counting, KEYS).write("packs/a", bytes(10 * SEGMENT_BYTES))
    remote = EncryptedRemote(counting, KEYS)
    remote.read("packs/a", start=2 * SEGMENT_BYTES, length=10)
    assert counting.reads == 2
    remote.read("packs/a", start=5 * SEGMENT_BYTES, length=10)
    assert counting.reads == 3
    remote.read("packs/a", start=100, length=10)
    assert counting.reads == 4


def test_a_range_of_an_object_that_was_written_again_is_that_of_the_new_one(inner):
    reader, writer = EncryptedRemote(inner, KEYS), EncryptedRemote(inner, KEYS)
    old, new = noise(3 * SEGMENT_BYTES), noise(3 * SEGMENT_BYTES + 5)
    writer.write("refs/a", old)
    assert reader.read("refs/a", start=70_000, length=9) == old[70_000:70_009]
    writer.write("refs/a", new)
    assert reader.read("refs/a", start=70_000, length=9) == new[70_000:70_009]


def test_every_bit_that_turns_is_found(inner, remote):
    remote.write("refs/a", b"what the hospital knows")
    name = name_of(inner)
    whole = inner.objects[name]
    for position in range(len(whole)):
        for bit in range(8):
            turned = bytearray(whole)
            turned[position] ^= 1 << bit
            inner.objects[name] = bytes(turned)
            with pytest.raises(IntegrityError, match="refs/a"):
                remote.read("refs/a")


def test_every_cut_and_every_addition_is_found_by_whole_reads_and_by_ranges_at_the_end(inner, remote):
    data = noise(3 * SEGMENT_BYTES)
    remote.write("packs/a", data)
    name = name_of(inner)
    whole = inner.objects[name]
    head = len(whole) - 3 * SEALED_SEGMENT_BYTES
    borders = [head + number * SEALED_SEGMENT_BYTES for number in range(4)]
    cuts = sorted({end for border in borders for end in range(border - 17, border + 18)} | set(range(head)))
    for end in cuts:
        if end >= len(whole):
            continue
        inner.objects[name] = whole[:end]
        for start in (0, SEGMENT_BYTES - 1, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES - 1, 3 * SEGMENT_BYTES):
            with pytest.raises(IntegrityError):
                EncryptedRemote(inner, KEYS).read("packs/a", start=start)
    for more in (b"\0", whole[-SEALED_SEGMENT_BYTES:], whole[head:]):
        inner.objects[name] = whole + more
        for start in (0, 3 * SEGMENT_BYTES - 1):
            with pytest.raises(IntegrityError):
                EncryptedRemote(inner, KEYS).read("packs/a", start=start)


def test_segments_that_change_places_are_found(inner, remote):
    remote.write("packs/a", noise(4 * SEGMENT_BYTES))
    name = name_of(inner)
    whole = inner.objects[name]
    head = len(whole) - 4 * SEALED_SEGMENT_BYTES
    parts = [whole[head + n * SEALED_SEGMENT_BYTES :][:SEALED_SEGMENT_BYTES] for n in range(4)]
    for order in ((1, 0, 2, 3), (0, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (0, 1, 3), (3,)):
        inner.objects[name] = whole[:head] + b"".join(parts[number] for number in order)
        with pytest.raises(IntegrityError):
            remote.read("packs/a")


def test_objects_that_change_places_or_names_are_found(inner, remote):
    remote.write("refs/routes/frames/head", b"the new state")
    remote.write("refs/routes/archive/head", b"the other one")
    first, second = (key for key in inner.objects if key.startswith("refs/"))
    inner.objects[first], inner.objects[second] = inner.objects[second], inner.objects[first]
    for key in ("refs/routes/frames/head", "refs/routes/archive/head"):
        with pytest.raises(IntegrityError, match=key):
            remote.read(key)
    # Its last part in another folder is no name at all.
    elsewhere = second.rpartition("/")[0] + "/" + first.rpartition("/")[2]
    inner.objects = {elsewhere: inner.objects[first]}
    assert list(remote.list()) == []


def test_a_part_of_one_object_does_not_fit_into_another(inner, remote):
    remote.write("refs/a", b"x" * 100)
    first = dict(inner.objects)
    remote.write("refs/a", b"x" * 100)
    name = next(key for key in first if key.startswith("refs/"))
    old, new = first[name], inner.objects[name]
    inner.objects[name] = new[:44] + old[44:]
    with pytest.raises(IntegrityError):
        remote.read("refs/a")


def test_the_same_bytes_twice_are_two_ciphertexts_of_one_name(inner, remote):
    remote.write("packs/a", b"the same" * 100)
    first = dict(inner.objects)
    remote.write("packs/a", b"the same" * 100)
    assert first.keys() == inner.objects.keys()
    assert first[name_of(inner)] != inner.objects[name_of(inner)]
    assert first[name_of(inner)][12:] != inner.objects[name_of(inner)][12:]


def test_the_store_holds_no_plain_byte_and_no_digest(tmp_path):
    folder = tmp_path / "store"
    store = PackStore(EncryptedRemote(DirectoryRemote(str(folder), create=True), KEYS))
    text = b"PATIENT^NAME 1970-01-01 " * 4000
    chunks = [StoredChunk(digest_of(data), len(data), store_chunk(data)) for data in (text, noise(50_000))]
    store.add(chunks)
    raw = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    (pack,) = (found.key.removeprefix("packs/") for found in store.remote.list("packs/"))
    assert len(raw) > 50_000
    for digest in (pack, *(chunk.digest for chunk in chunks), digest_of(raw)):
        assert digest not in names
        assert digest.encode() not in raw
        assert bytes.fromhex(digest) not in raw
        assert digest[:12] not in names
    assert b"PATIENT" not in raw
    # The magic of a pack and the number of its chunks; four bytes alone are in so much noise once in 80,000 times.
    assert b"TPK1" + len(chunks).to_bytes(4, "big") not in raw
    for start in range(0, 50_000, 997):
        assert noise(50_000)[start : start + 8] not in raw
    # And all of it comes back.
    again = PackStore(EncryptedRemote(DirectoryRemote(str(folder)), KEYS))
    assert again.read_chunk(chunks[0].digest) == text
    assert again.read_chunk(chunks[1].digest) == noise(50_000)


def test_another_key_is_told_which_one_is_wanted_and_writes_nothing(inner, remote):
    remote.write("refs/a", b"x")
    before = dict(inner.objects)
    stranger = EncryptedRemote(inner, CipherKeys((OTHER,)))
    for operation in (
        lambda: stranger.read("refs/a"),
        lambda: list(stranger.list()),
        lambda: stranger.exists("refs/a"),
        lambda: stranger.write("refs/a", b"y"),
        lambda: stranger.write_new("refs/b", b"y"),
        lambda: stranger.delete("refs/a"),
    ):
        with pytest.raises(IntegrityError, match=OLD.key_id) as caught:
            operation()
        assert OTHER.key_id in caught.value.message
        assert OLD.secret.hex() not in str(caught.value)
    assert inner.objects == before


def test_without_a_key_an_encrypted_store_is_not_an_empty_one(inner, remote):
    assert refuse_encrypted(inner) is inner
    remote.write("refs/a", b"x")
    with pytest.raises(UsageError, match=OLD.key_id) as caught:
        refuse_encrypted(inner)
    assert "encryption.key" in caught.value.hint


@pytest.mark.parametrize("key", ["refs/models/a/1", "packs/" + "0" * 64])
def test_readable_data_is_not_mixed_with_encrypted_data(inner, remote, key):
    inner.write(key, b"plain")
    assert list(remote.list()) == []
    for operation in (lambda: remote.write("refs/a", b"x"), lambda: remote.write_new("refs/a", b"x")):
        with pytest.raises(UsageError, match="not encrypted"):
            operation()
    assert list(inner.objects) == [key]


def test_a_store_that_lost_its_mark_gets_it_again(inner, remote):
    remote.write("refs/a", b"x")
    del inner.objects[f"cipher/{OLD.key_id}"]
    again = EncryptedRemote(inner, KEYS)
    assert again.read("refs/a") == b"x"
    again.write("refs/a", b"y")
    assert f"cipher/{OLD.key_id}" in inner.objects


def test_after_a_rotation_old_objects_read_and_new_ones_need_the_new_key(inner, remote):
    remote.write("refs/a", b"before")
    rotated = EncryptedRemote(inner, CipherKeys((OLD, NEW)))
    assert rotated.read("refs/a") == b"before"
    assert not rotated.write_new("refs/a", b"a second one of the same name")
    rotated.write("refs/b", b"after")
    assert [found.key for found in rotated.list()] == ["refs/a", "refs/b"]
    assert remote.read("refs/a") == b"before"
    with pytest.raises(IntegrityError, match=f"encrypted with key {NEW.key_id}") as caught:
        remote.read("refs/b")
    assert "add the line" in caught.value.hint


def test_the_time_of_an_object_is_that_of_the_store(tmp_path):
    inner = DirectoryRemote(str(tmp_path), create=True)
    remote = EncryptedRemote(inner, KEYS)
    remote.write("refs/a", b"x")
    (plain,) = inner.list("refs/")
    (found,) = remote.list()
    assert found.modified_ms == plain.modified_ms > 0


def test_what_is_not_ours_is_not_listed(inner, remote):
    remote.write("refs/a", b"x")
    name = name_of(inner)
    foreign = [
        "README",
        "refs/notes",
        name.upper().replace("REFS", "refs"),
        name + "0",
        name[:-1] + "+/" + name[-1],
    ]
    for key in foreign:
        inner.objects[check_key(key)] = b"somebody's"
    assert [found.key for found in remote.list()] == ["refs/a"]
    assert [found.key for found in remote.list("refs/")] == ["refs/a"]


@pytest.mark.parametrize(
    "key", ["a" * 200, "refs/" + "b" * 200, "refs/" + "/".join("c" * 200 for _ in range(5))]
)
def test_long_names_keep_to_the_rules_of_keys(inner, remote, key):
    remote.write(key, b"x")
    for name in inner.objects:
        check_key(name)
    assert [found.key for found in remote.list()] == [key]
    assert remote.read(key) == b"x"


def test_many_threads_read_ranges_at_once(remote):
    data = noise(8 * SEGMENT_BYTES)
    for number in range(4):
        remote.write(f"packs/{number}", data)

    def read(number: int) -> bool:
        start = (number * 7919) % len(data)
        return remote.read(f"packs/{number % 4}", start=start, length=5000) == data[start : start + 5000]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(200)))


def test_a_listing_with_a_prefix_asks_for_that_folder_only():
    class Asked(MemoryRemote):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[str] = []

        def list(self, prefix=""):
            self.asked.append(prefix)
            return super().list(prefix)

    asked = Asked()
    remote = EncryptedRemote(asked, KEYS)
    remote.write("refs/routes/a/head", b"x")
    remote.write("refs/models/a/1", b"x")
    asked.asked.clear()
    assert [found.key for found in remote.list("refs/routes/")] == ["refs/routes/a/head"]
    assert len(asked.asked) == 1
    assert asked.asked[0].startswith("refs/")
    assert asked.asked[0] != "refs/"


@pytest.mark.parametrize("after", [False, True])
def test_a_store_whose_first_writer_died_anywhere_is_gone_on_with(inner, *, after):
    def fill(remote):
        for key in ("packs/a", "indexes/b", "refs/c"):
            remote.write_new(key, key.encode())

    number, broken = 0, True
    while broken:
        number += 1
        inner.objects.clear()
        breaking = BreakingRemote(inner, breaks_at=number, after=after)
        with contextlib.suppress(RemoteUnavailableError):
            fill(EncryptedRemote(breaking, KEYS))
        broken = breaking.broken
        # Whatever was written, nobody takes the store for a readable one that has data.
        assert not inner.objects or f"cipher/{OLD.key_id}" in inner.objects
        fill(EncryptedRemote(inner, KEYS))
        remote = EncryptedRemote(inner, KEYS)
        assert [remote.read(found.key) for found in remote.list()] == [b"indexes/b", b"packs/a", b"refs/c"]
    assert number == 5
