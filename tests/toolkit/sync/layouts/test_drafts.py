"""A draft gets what it lacks block by block, and may begin as a copy of the old file that costs nothing."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from tests.toolkit.sync.trees import photograph, task_of
from toolkit.sync.chunk_source import FolderSource
from toolkit.sync.events import unheard
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.pieces import Place, lacking
from toolkit.sync.merge import placed
from toolkit.sync.pace import Pace
from toolkit.sync.run import run_task
from toolkit.sync.scan import scan

OLD = random.Random(3).randbytes(3_000_000)
BLOCK = 4096


def scattered(data, blocks, seed):
    """Overwrite so many blocks here and there; give what comes out."""
    draw = random.Random(seed)
    changed = bytearray(data)
    for block in draw.sample(range(len(data) // BLOCK), blocks):
        changed[block * BLOCK : (block + 1) * BLOCK] = draw.randbytes(BLOCK)
    return bytes(changed)


def test_of_a_chunk_that_changed_only_the_blocks_that_differ_move(tmp_path):
    task = task_of(tmp_path)
    file = tmp_path / "edge/frames/a"
    file.write_bytes(OLD)
    run_task(task)
    file.write_bytes(scattered(OLD, 12, seed=4))
    result = run_task(task)
    assert photograph(tmp_path / "hot/frames") == photograph(tmp_path / "edge/frames")
    assert result.bytes_moved == 12 * BLOCK
    assert result.targets[0].bytes_unpacked > 5 * 12 * BLOCK  # so much was in the chunks that changed
    assert not run_task(task).targets[0].changed


def test_blocks_are_compared_with_what_the_target_holds_and_not_with_what_it_should(tmp_path):
    task = task_of(tmp_path)
    file, copy = tmp_path / "edge/frames/a", tmp_path / "hot/frames/a"
    file.write_bytes(OLD)
    run_task(task)
    facts = copy.stat()
    new = scattered(OLD, 12, seed=4)
    at = next(number for number in range(0, len(OLD), BLOCK) if OLD[number] != new[number]) + BLOCK
    rotten = bytearray(OLD)
    rotten[at + 100] ^= 1  # beside a block that changes, so in a chunk that moves
    copy.write_bytes(rotten)
    os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    file.write_bytes(new)
    result = run_task(task)
    assert copy.read_bytes() == new
    assert result.bytes_moved == 13 * BLOCK


class Pretended:
    """Stands for a file system that shares blocks: copies them. `flip` is the offset of a bit that has turned."""

    def __init__(self, flip=None):
        self.flip = flip
        self.calls = 0

    def __call__(self, descriptor, old):
        self.calls += 1
        if self.flip is not None:
            rot(old, self.flip)
        os.pwrite(descriptor, os.pread(old, 1 << 24, 0), 0)


def rot(old, offset):
    """Turn a bit of a file and give it back its time, as a disk does it."""
    path, facts = Path(f"/proc/self/fd/{old}"), os.fstat(old)
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def build(tmp_path, new, share, touch=bool):
    """Build the draft of a file whose old version is OLD; give its bytes and what moved."""
    for name, data in (("edge", new), ("hot", OLD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(data)
    edge, hot = Folder(str(tmp_path / "edge")), Folder(str(tmp_path / "hot"))
    index = scan(edge).index
    (entry,), (before,) = index.entries, scan(hot).index.entries
    hot.open_folder(b".tiers/partial", create=True)
    drafts = Drafts(hot, b".tiers/partial", "file:///hot", share)
    path = drafts.path_of(entry)
    lacks = lacking(
        [(entry, Place(path, 0), set())],
        {ref.digest: Place(b"a", offset) for offset, ref in placed(before)},
    )
    facts = (tmp_path / "hot/a").stat()
    lacks.bases[b"a"], lacks.seen[b"a"] = b"a", (facts.st_size, facts.st_mtime_ns)
    touch(tmp_path / "hot/a")
    source = FolderSource(edge, b"", index)
    source.expect({ref.digest for ref in entry.refs()})
    filled = drafts.fill(lacks, source, Pace(0), unheard)
    source.close()
    return (tmp_path / "hot" / os.fsdecode(path)).read_bytes()[: entry.size], filled


SHORTER = OLD[:1_000_000] + OLD[1_200_000:]


@pytest.mark.parametrize(
    "new", [scattered(OLD, 9, seed=5), SHORTER, OLD + b"more"], ids=["in place", "cut", "grown"]
)
def test_a_draft_that_begins_as_a_copy_ends_as_what_it_shall_be(tmp_path, new):
    share = Pretended()
    built, _ = build(tmp_path, new, share)
    assert share.calls == 1
    assert built == new


def test_what_stays_in_shared_blocks_counts_as_what_it_was_and_what_moves_is_proven(tmp_path):
    for flip, same in ((5, False), (2_345_678, True)):
        (tmp_path / str(flip)).mkdir()
        built, _ = build(tmp_path / str(flip), SHORTER, Pretended(flip))
        assert (built == SHORTER) == same


def test_blocks_of_a_last_version_that_is_not_what_was_seen_are_not_shared(tmp_path):
    share, new = Pretended(), scattered(OLD, 9, seed=5)

    def touch(file):
        file.write_bytes(b"not any more" + OLD[12:])
        os.utime(file, ns=(7, 7))

    built, _ = build(tmp_path, new, share, touch)
    assert built == new
    assert share.calls == 0


def test_a_last_version_that_is_written_to_meanwhile_is_torn(tmp_path):
    def share(descriptor, old):
        os.pwrite(descriptor, os.pread(old, 1 << 24, 0)[:-1], 0)  # its last byte came after this
        os.utime(f"/proc/self/fd/{old}", ns=(1, 1))

    _, filled = build(tmp_path, scattered(OLD, 9, seed=5), share)
    assert filled.torn_paths == {b"a"}
    assert "was changed while the new one was built" in filled.torn[0].reason


def test_a_file_of_which_nearly_all_moves_is_written_anew(tmp_path):
    share = Pretended()
    new = b"x" * 5_000 + OLD
    built, filled = build(tmp_path, new, share)
    assert built == new
    assert share.calls == 0
    assert filled.chunks < 5


def test_into_a_copy_only_blocks_that_differ_are_brought(tmp_path):
    _, filled = build(tmp_path, scattered(OLD, 9, seed=5), Pretended())
    assert filled.stored_bytes == 9 * BLOCK


def test_a_file_system_that_cannot_share_is_asked_once_and_copied_on(tmp_path):
    asked = []

    def cannot(descriptor, old):
        asked.append((descriptor, old))
        raise OSError(errno.EOPNOTSUPP, "not here")

    new = scattered(OLD, 9, seed=5)
    built, filled = build(tmp_path, new, cannot)
    assert built == new
    assert filled.stored_bytes == 9 * BLOCK
    assert len(asked) == 1
