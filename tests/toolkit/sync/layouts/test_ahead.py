"""What is read ahead is what would have been read, in few requests, some at once, no byte twice, not too much."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.contracts.remote import MemoryRemote
from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError
from toolkit.sync.layouts.ahead import AHEAD, ReadingAhead
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.encrypted import EncryptedRemote
from toolkit.wire.cipher_keys import CipherKey, CipherKeys
from toolkit.wire.digest import digest_of
from toolkit.wire.overlay import NEW, Run, encode_overlay

SIZE = 20_000
CHUNKS = 120
BLOCK = 10 * SIZE
"""Ten whole chunks are brought together."""
SECONDS = 250.0


class Counting(MemoryRemote):
    """Counts what is read of packs, and how many do so at once; keeps readers until so many have come once."""

    def __init__(self, parties=1):
        super().__init__()
        self.reads = []
        self.here = self.most = 0
        self.parties = parties
        self.waiting = threading.Condition()
        self.fails = False

    def read(self, key, **how):
        if not key.startswith("packs/"):
            return super().read(key, **how)
        with self.waiting:
            self.here += 1
            self.most = max(self.most, self.here)
            self.waiting.notify_all()
            assert self.waiting.wait_for(lambda: self.most >= self.parties, SECONDS)
        try:
            if self.fails:
                raise RemoteUnavailableError("the line is cut")
            data = super().read(key, **how)
            self.reads.append((key, how["start"], len(data)))
            return data
        finally:
            with self.waiting:
                self.here -= 1


class Planned(PackStore):
    """Counts the chunks whose places were asked for."""

    planned = 0

    def places_of(self, digest):
        self.planned += 1
        return super().places_of(digest)


def noise(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


def filled(remote):
    """Store chunks, and of every fifth one that has changed; give them in the order of the file."""
    store = PackStore(remote)
    old = [noise(number) for number in range(CHUNKS)]
    store.add(StoredChunk(digest_of(data), SIZE, b"\0" + data) for data in old)
    new, overlays = list(old), []
    for number in range(0, CHUNKS, 5):
        data = new[number] = old[number][:5000] + noise(1000 + number, 100) + old[number][5100:]
        runs = [Run(0, 0, 5000), Run(NEW, 0, 100), Run(0, 5100, SIZE - 5100)]
        bases = (digest_of(old[number]),)
        overlays.append(StoredChunk(digest_of(data), SIZE, encode_overlay(data, runs), bases))
    store.add(overlays)
    return new


def ahead_of(remote, order, kind=PackStore):
    store = kind(remote)
    store.refresh()
    if isinstance(remote, Counting):
        remote.reads.clear()
        remote.most = 0
    return store, ReadingAhead(store, order, block_bytes=BLOCK)


def by_fours(reader, names):
    for at in range(0, len(names), 4):
        yield from (bytes(data) for _, data in reader.read_open(names[at : at + 4]))


def test_a_file_is_read_once_in_few_requests():
    remote = Counting()
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, names)
    assert list(by_fours(reader, names)) == chunks
    reader.close()
    assert len(remote.reads) <= 2 * CHUNKS // 8  # of chunks and of overlays, for some eight chunks each
    reads = sorted(remote.reads)
    assert all(
        one != other or start + length <= at for (one, start, length), (other, at, _) in pairwise(reads)
    )


def test_several_requests_are_on_their_way_at_once():
    remote = Counting(parties=1)
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, names)
    remote.parties = 3  # fewer would wait for ever
    assert list(by_fours(reader, names)) == chunks
    reader.close()
    assert 3 <= remote.most <= 4


def test_no_more_is_looked_for_than_some_blocks_ahead():
    remote = Counting()
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    store, reader = ahead_of(remote, names, Planned)
    assert store.planned == 0
    read = list(reader.read_open(names[:1]))
    assert [data for _, data in read] == chunks[:1]
    assert 10 <= store.planned <= 10 * (AHEAD + 1)
    reader.close()


@pytest.mark.parametrize("seed", range(3))
def test_threads_that_keep_roughly_to_the_order_get_what_they_ask_for(seed):
    remote = EncryptedRemote(MemoryRemote(), CipherKeys((CipherKey(bytes(32)),)))
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, names)
    draw = random.Random(seed)
    parts = [range(at, at + 4) for at in range(0, CHUNKS, 4)]
    parts.sort(key=lambda part: part[0] + draw.randrange(40))

    def read(part):
        opened = reader.read_open([names[each] for each in part])
        return [bytes(data) for _, data in opened] == [chunks[each] for each in part]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, parts))
    reader.close()


def test_what_nobody_said_and_what_is_asked_for_twice_is_read_by_itself():
    remote = Counting()
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, names[:60])
    for each in (100, 0, 0, 59, 5, 5, 119):
        assert [data for _, data in reader.read_open([names[each]])] == [chunks[each]]
    mixed = [names[110], names[20], names[21], names[0]]
    assert [bytes(data) for _, data in reader.read_open(mixed)] == [chunks[110], *chunks[20:22], chunks[0]]
    reader.close()


def test_blocks_of_which_nobody_wants_the_rest_do_not_pile_up():
    remote = Counting()
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, names)
    wanted = [
        *range(9, CHUNKS, 8),
        1,
    ]  # one of each block, and at the end one of the first, which is forgotten
    for each in wanted:
        before = len(remote.reads)
        assert [data for _, data in reader.read_open([names[each]])] == [chunks[each]]
    assert len(remote.reads) > before
    reader.close()


def test_what_is_not_there_is_said_after_what_comes_before_it():
    remote = MemoryRemote()
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, [*names[:6], digest_of(b"nobody has it"), *names[6:]])
    opened = reader.read_open([names[4], digest_of(b"nobody has it"), names[5]])
    assert next(opened)[1] == chunks[4]
    with pytest.raises(MissingObjectError, match="does not have chunk"):
        next(opened)
    assert list(by_fours(reader, names)) == chunks
    reader.close()


def test_a_store_that_lost_its_packs_is_not_listed_for_every_chunk():
    remote = Counting()
    chunks = filled(remote)
    lost = [digest_of(b"lost %d" % number) for number in range(500)]
    store, reader = ahead_of(remote, [*lost, *map(digest_of, chunks)], Planned)
    with pytest.raises(MissingObjectError):
        list(reader.read_open(lost[:1]))
    assert 1 <= store.planned <= 2
    reader.close()


@pytest.mark.parametrize("encrypted", [False, True])
def test_of_a_range_that_was_damaged_only_the_damaged_chunk_is_refused(encrypted):
    inner = MemoryRemote()
    remote = EncryptedRemote(inner, CipherKeys((CipherKey(bytes(32)),))) if encrypted else inner
    chunks = filled(remote)
    names = [digest_of(data) for data in chunks]
    store, reader = ahead_of(remote, names)
    large = max(inner.objects, key=lambda key: len(inner.objects[key]))
    data = bytearray(inner.objects[large])
    at = store.places_of(names[61])[0].entry.offset + 100
    data[at + (at // 65536) * 16 + 60 if encrypted else at] ^= 1
    inner.objects[large] = bytes(data)
    refused = []
    for number, name in enumerate(names):
        try:
            assert [bytes(each) for _, each in reader.read_open([name])] == [chunks[number]]
        except IntegrityError:
            refused.append(number)
    reader.close()
    # A segment of an encrypted pack has three or four chunks, which go with it.
    assert 61 in refused
    assert refused == [61] if not encrypted else 1 < len(refused) <= 5


def test_a_pack_that_was_written_anew_meanwhile_is_found():
    remote = MemoryRemote()
    chunks = [data for number, data in enumerate(filled(remote)) if number % 5]  # those that lie whole
    names = [digest_of(data) for data in chunks]
    _, reader = ahead_of(remote, names)
    old = [key for key in remote.objects if key.startswith("packs/")]
    PackStore(remote).add_again(StoredChunk(digest_of(data), SIZE, b"\0" + data) for data in chunks)
    for key in old:
        remote.delete(key)
    assert list(by_fours(reader, names)) == chunks
    reader.close()


def test_a_line_that_is_cut_says_so():
    remote = Counting()
    names = [digest_of(data) for data in filled(remote)]
    _, reader = ahead_of(remote, names)
    remote.fails = True
    with pytest.raises(RemoteUnavailableError, match="the line is cut"):
        list(reader.read_open(names[:1]))
    reader.close()
