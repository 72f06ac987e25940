"""Documents and chunks that want to do harm: they are refused by name, and what served before goes on serving.

Bad seals, changed manifests, `requires` that this machine does not meet and paths that leave their folder have their
tests in tests/edge_runtime/test_faults.py; here are a downgrade and bombs.
"""

from __future__ import annotations

import random

import msgspec
import pytest
import zstandard

from tests.edge_runtime.conftest import Keys, Made
from tests.edge_runtime.faults.ledger import paced
from toolkit.wire.chunk import ZSTD
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, pack_refs

pytestmark = pytest.mark.broker
change = msgspec.structs.replace
GIB = 1024**3
MOST_MEMORY = 64 * 1024 * 1024
"""What a bomb may make the daemon grow by, in bytes; the bombs here are gigabytes."""


def resident(device) -> int:
    """Give the most memory that the daemon has had so far, in bytes."""
    with open(f"/proc/{device.process.pid}/status", encoding="ascii") as status:  # noqa: PTH123
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.fixture
def serving(depot, device, keys):
    """A device that serves v1 and goes no lower than counter 2."""
    device.start(*paced())
    depot.offer(keys.model("v2", change=lambda manifest: change(manifest, floor=2)))
    depot.wait_for_state("ACTIVE", "v2")
    return device


def assert_still_serves(device) -> None:
    assert device.infer([1, 0, 0, 0]) == ("v2", [0.0, 2.0, 4.0])


def test_a_downgrade_below_the_floor_is_rejected(serving, depot, keys) -> None:
    made = keys.model("v1")
    depot.offer(made)
    assert depot.wait_for_state("REJECTED", "v1").code == "below-floor"
    assert not depot.chunks_sent(made)
    assert_still_serves(serving)


def bomb(claimed: int | None, made: int) -> bytes:
    """Give a stored chunk that unpacks to `made` zeros and claims `claimed` bytes, or does not say."""
    compressor = zstandard.ZstdCompressor(level=3, write_content_size=claimed is not None)
    block = bytes(1024 * 1024)
    writer = compressor.compressobj(size=-1 if claimed is None else made)
    body = b"".join(writer.compress(block) for _ in range(made // len(block))) + writer.flush()
    return bytes([ZSTD]) + body


def test_chunks_that_unpack_to_far_more_than_their_index_says_are_thrown_away(serving, depot, keys) -> None:
    before = resident(serving)
    for number, says in enumerate(("all of it", "nothing", "what the index says"), start=3):
        made = keys.model(f"v{number}", ballast=random.Random(number).randbytes(400_000))
        victim = max(range(len(made.chunks)), key=lambda each, made=made: made.chunks[each].size)
        size = made.chunks[victim].size
        evil = bomb(None if says == "nothing" else GIB, GIB)
        if says == "what the index says":
            # The frame header lies: its size field (RFC 8878, 3.1.1.1: after magic, descriptor and window) is changed.
            evil = evil[:7] + size.to_bytes(4, "little") + evil[11:]
            assert zstandard.frame_content_size(evil[1:]) == size
        assert len(evil) <= size, "else it is thrown away before it is looked at"
        print(f"{len(evil)} bytes that unpack to {GIB} and claim {says}, for a chunk of {size}")
        depot.damage = lambda _, each, stored, evil=evil, victim=victim: evil if each == victim else stored
        depot.offer(made)
        report = depot.wait_for_state("FAILED", f"v{number}")
        assert (report.code, report.chunks_bad) == ("chunk-damaged", 3)
        assert_still_serves(serving)
    assert resident(serving) - before < MOST_MEMORY


def lying_index(keys: Keys, version: str, size: int, chunks: int, says: int) -> Made:
    """Make an index whose file claims `size` bytes in chunks of 4 MiB, and a manifest that says something else."""
    references = [ChunkRef(digest_of(b"%d" % number), 4 * 1024 * 1024) for number in range(chunks)]
    entry = Entry(b"model.onnx", "file", size, 0o644, 0, pack_refs(references))
    return keys.make(
        version, {}, entries=(entry,), change=lambda manifest: change(manifest, total_bytes=says)
    )


def test_indexes_that_claim_huge_sizes_are_refused_before_any_space_is_taken(serving, depot, keys) -> None:
    for number, (size, chunks, says, code) in enumerate(
        (
            (1 << 62, 4, 16 << 20, "bad-index"),  # more than its chunks have
            (64 << 30, 1 << 14, 16 << 20, "bad-index"),  # 64 GiB, and a manifest that calls them 16 MiB
            (64 << 30, 1 << 14, 64 << 40, "no-space"),  # and a manifest that says more than any disk has
        ),
        start=3,
    ):
        made = lying_index(keys, f"v{number}", size, chunks, says)
        depot.offer(made)
        assert depot.wait_for_state("REJECTED", f"v{number}").code == code
        assert not depot.chunks_sent(made)
        assert not (serving.state / "parts" / made.artifact).exists()
        assert_still_serves(serving)
