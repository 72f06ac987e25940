"""A file that was cut before is cut again only around what changed, and comes out as if all of it had been cut."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.sync.cache import facts_of
from toolkit.sync.folder import Folder
from toolkit.sync.read import FileReader, Wanted
from toolkit.sync.recut import cut_again
from toolkit.sync.scan import scan
from toolkit.wire.chunk import ARTIFACT, LARGE_ARTIFACT, Grid, cut
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, pack_refs

SMALL = Grid(256, 1024, 4096)
DATA = random.Random(8).randbytes(60_000) + bytes(9000) + random.Random(9).randbytes(30_001)
BUFFERS = [memoryview(bytearray(5 * 4096)) for _ in range(3)]
POOL = ThreadPoolExecutor(2)


def listed(data, grid=SMALL):
    return pack_refs(ChunkRef(digest_of(piece), len(piece)) for piece in cut(data, grid))


def again(new, earlier, grid=SMALL):
    file = os.memfd_create("new")
    try:
        os.pwrite(file, new, 0)
        return cut_again(file, len(new), grid, earlier, BUFFERS, POOL)
    finally:
        os.close(file)


BOUNDS = [0]
for _piece in cut(DATA, SMALL):
    BOUNDS.append(BOUNDS[-1] + len(_piece))

# Where pieces begin and end is where it can go wrong, so half of the edits hit such a place.
places = st.one_of(
    st.integers(0, len(DATA) - 1),
    st.tuples(st.sampled_from(BOUNDS), st.integers(-49, 1)).map(lambda place: max(0, sum(place))),
)
edits = st.lists(st.tuples(places, st.binary(min_size=1, max_size=40)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    edits=edits, length=st.one_of(st.none(), st.integers(60_000, len(DATA))), more=st.binary(max_size=6000)
)
def test_it_gives_what_cutting_all_of_it_gives(edits, length, more):
    new = bytearray(DATA)
    for place, data in edits:
        new[place : place + len(data)] = data
    new = bytes(new[:length] + more)
    assert again(new, listed(DATA)) == listed(new)


@pytest.mark.parametrize("bound", BOUNDS[1:-1:7])
def test_the_first_byte_of_a_piece_decides_where_the_one_before_it_ends(bound):
    for value in (0, 127, 255):
        new = bytearray(DATA)
        new[bound] = value
        assert again(bytes(new), listed(DATA)) == listed(bytes(new))


def test_an_insertion_far_behind_is_found_and_one_in_front_is_left_to_who_cuts_anew():
    behind = DATA[:70_000] + b"inserted" + DATA[70_000:]
    assert again(behind, listed(DATA)) == listed(behind)
    assert again(b"inserted" + DATA, listed(DATA)) is None


def test_a_list_of_another_grid_is_not_used():
    assert again(DATA, listed(DATA, ARTIFACT)) is None
    assert again(DATA, b"") is None


def test_a_scan_that_knows_the_file_gives_the_same_index_as_one_that_does_not(tmp_path, wait_until):
    from toolkit.sync.cache import ScanCache

    draw = random.Random(10)
    file = tmp_path / "tree/large"
    file.parent.mkdir()
    file.write_bytes(draw.randbytes(9_000_000))

    def look():
        cache = ScanCache(str(tmp_path / "cache"))
        found = scan(Folder(str(file.parent)), cache=cache)
        cache.close()
        return found

    look()
    wait_until(lambda: look().files_read == 0, "the file has come to rest")
    with file.open("r+b") as opened:
        for place in draw.sample(range(9_000_000 // 65536), 5):
            opened.seek(place * 65536)
            opened.write(draw.randbytes(65536))
    known, fresh = look(), scan(Folder(str(file.parent)))
    assert known.files_read == 1
    assert known.index.digest == fresh.index.digest


def test_a_known_file_goes_on_being_cut_as_it_was_whatever_its_name_says(tmp_path):
    data = random.Random(12).randbytes(9_000_000)
    file = tmp_path / "weights.pt"
    file.write_bytes(data)
    facts = facts_of(file.stat())
    with ThreadPoolExecutor(2) as hashers:
        reader = FileReader(Folder(str(tmp_path)), b"", "data", hashers)
        (new,) = reader.read_batch([Wanted(b"weights.pt", facts, 0o644)])
        (known,) = reader.read_batch([Wanted(b"weights.pt", facts, 0o644, listed(data, LARGE_ARTIFACT))])
    assert new.known.chunks == listed(data, ARTIFACT)
    assert known.known.chunks == listed(data, LARGE_ARTIFACT)
