"""Packs go to a line side by side, no more than were allowed, and what is on its way is not sent twice."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import wait

import pytest

from tests.contracts.remote import MemoryRemote
from toolkit.errors import RemoteUnavailableError
from toolkit.sync.layouts.pack import MAX_PACK_BYTES, StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.layouts.sending import OVER_A_LINE, Sending, at_once_to
from toolkit.sync.remotes.encrypted import EncryptedRemote
from toolkit.wire.cipher_keys import CipherKey, CipherKeys
from toolkit.wire.digest import digest_of

QUARTER = MAX_PACK_BYTES // 4 - 1000
"""Four of these are a pack."""
BODY = bytes(QUARTER)


def chunks(first, last):
    return [
        StoredChunk(digest_of(b"%d" % number), QUARTER, b"%08d" % number + BODY[8:])
        for number in range(first, last)
    ]


class Line(MemoryRemote):
    """Keeps a writer until others have come, and counts how many were there at once."""

    def __init__(self, parties=1, fails_at=0):
        super().__init__()
        self.barrier = threading.Barrier(parties)
        self.fails_at = fails_at
        self.counting = threading.Lock()
        self.here = self.most = self.begun = 0
        self.threads = set()

    def write_new(self, key, data):
        with self.counting:
            self.here, self.begun = self.here + 1, self.begun + 1
            self.most = max(self.most, self.here)
            self.threads.add(threading.current_thread())
            fails = self.begun == self.fails_at
        try:
            self.barrier.wait(250)
            if fails:
                raise RemoteUnavailableError("the line is cut")
            return super().write_new(key, data)
        finally:
            with self.counting:
                self.here -= 1


def test_as_many_packs_as_allowed_are_on_their_way_at_once_and_no_more():
    line = Line(parties=3)  # fewer would wait for ever
    arrived = []
    store = PackStore(line, at_once=3)
    added = store.add(chunks(0, 24), on_pack=arrived.append)
    assert (added.packs, added.chunks, line.most) == (6, 24, 3)
    assert [pack.chunks for pack in arrived] == [4] * 6
    assert len(PackStore(line).missing(chunk.digest for chunk in chunks(0, 26))) == 2


def test_one_at_a_time_is_sent_by_who_calls():
    line = Line()
    assert PackStore(line).add(chunks(0, 8)).packs == 2
    assert line.threads == {threading.current_thread()}


def test_a_chunk_that_is_on_its_way_is_not_sent_again():
    line = Line(parties=2)
    twice = [*chunks(0, 5), *chunks(0, 4), *chunks(5, 8)]  # the fifth sends the first four on their way
    added = PackStore(line, at_once=2).add(twice)
    assert (added.packs, added.chunks, added.skipped) == (2, 8, 4)


def test_a_line_that_is_cut_says_so_when_nothing_is_on_its_way_and_what_arrived_stays():
    line = Line(fails_at=2)
    store = PackStore(line, at_once=3)
    with pytest.raises(RemoteUnavailableError, match="the line is cut"):
        store.add(chunks(0, 40))
    assert line.here == 0
    begun = line.begun  # as many as got away while the one whose line was cut had not said so yet
    again = PackStore(line, at_once=3)
    lacking = again.missing(chunk.digest for chunk in chunks(0, 40))
    assert len(lacking) == 40 - 4 * (begun - 1)
    assert again.add(chunk for chunk in chunks(0, 40) if chunk.digest in lacking).packs == 10 - (begun - 1)
    assert line.begun == 11  # all that was sent twice is the pack that the line lost


def test_behind_a_pack_that_was_lost_no_more_are_sent():
    def lost():
        raise RemoteUnavailableError("the line is cut")

    with Sending(3) as sending:
        for job in (lambda: 1, lost, lambda: 3):
            assert list(sending.send(frozenset(), job)) == []
        wait(sending._flying)  # by now it is known; before that, another one may go
        with pytest.raises(RemoteUnavailableError, match="the line is cut"):
            list(sending.send(frozenset(), lambda: pytest.fail("it was sent")))


@pytest.mark.parametrize(
    ("url", "at_once"),
    [
        ("s3://bucket", OVER_A_LINE),
        ("sftp://host/folder", OVER_A_LINE),
        ("file:///folder", 1),
        ("memory:", 1),
    ],
)
def test_only_lines_get_several_at_once(url, at_once):
    assert at_once_to(url) == at_once


def test_none_at_once_is_refused():
    with pytest.raises(ValueError, match="0 packs at once"):
        Sending(0)


class Forgetful(Line):
    """Keeps writers of packs until two have come, and nothing of what they bring."""

    def __init__(self):
        super().__init__(parties=2)
        self.packs = 0

    def write_new(self, key, data):
        if len(data) < QUARTER:
            return True
        with self.counting:
            self.packs += 1
        super().write_new(key, data)
        self.objects.clear()
        return True


@pytest.mark.parametrize("encrypted", [False, True])
def test_two_packs_on_their_way_and_one_that_comes_into_being_are_all_that_is_held(encrypted):
    """Held were six packs of encrypted ones, and four of others: 244 and 178 MB of a process."""
    line, size = Forgetful(), 64 * 1024
    remote = EncryptedRemote(line, CipherKeys((CipherKey(bytes(32)),))) if encrypted else line
    store = PackStore(remote, at_once=2)
    each_pack = MAX_PACK_BYTES // size - 1  # the last one's place is taken by the list
    small = (
        StoredChunk(digest_of(b"%d" % number), size, b"%08d" % number + bytes(size - 8))
        for number in range(6 * each_pack)
    )
    tracemalloc.start()
    try:
        assert store.add(small).packs == line.packs == 6
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 3.75 * MAX_PACK_BYTES
