"""A writer with several packs on their way is killed: each of its senders sends at most one pack again, no more."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toolkit.sync.layouts.pack import MAX_PACK_BYTES, StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.layouts.sending import OVER_A_LINE
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.verify import verify_packs
from toolkit.wire.chunk import MIB, store_chunk
from toolkit.wire.digest import digest_of

REPOSITORY = Path(__file__).resolve().parents[4]
ARRIVE = 3
"""So many packs arrive before the line is so slow that nothing does."""
PACKS = ARRIVE + OVER_A_LINE + 1

WRITER = """
import sys
from tests.toolkit.sync.faults.test_killed_senders import ARRIVE, Announced, chunks
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.layouts.sending import OVER_A_LINE
PackStore(Announced(sys.argv[1], slow_after=ARRIVE), at_once=OVER_A_LINE).add(chunks())
"""


class Announced(DirectoryRemote):
    """Says which pack begins; after some, each waits for ever where the line would be."""

    def __init__(self, folder, slow_after=1 << 30):
        super().__init__(folder)
        self.slow_after = slow_after
        self.counting = threading.Lock()
        self.begun = []

    def write_new(self, key, data):
        if key.startswith("packs/"):
            with self.counting:
                self.begun.append(key)
                number = len(self.begun)
                os.write(1, f"{key}\n".encode())
            if number > self.slow_after:
                threading.Event().wait()
        return super().write_new(key, data)


def chunks():
    draw = random.Random(1)
    for _ in range(PACKS * (MAX_PACK_BYTES // MIB)):
        data = draw.randbytes(MIB - 100)
        yield StoredChunk(digest_of(data), len(data), store_chunk(data))


@pytest.mark.slow
def test_what_was_on_its_way_is_all_that_is_sent_again(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout is not None
    with process.stdout as said:
        begun = [said.readline().strip() for _ in range(ARRIVE + OVER_A_LINE)]
        os.kill(process.pid, signal.SIGKILL)
        assert said.read() == ""  # the next one has to wait for room
    assert process.wait(timeout=60) == -signal.SIGKILL
    arrived = {found.key for found in DirectoryRemote(str(tmp_path)).list("packs/")}
    assert arrived == set(begun[:ARRIVE])
    remote = Announced(str(tmp_path))
    store = PackStore(remote, at_once=OVER_A_LINE)
    missing = set(store.missing(chunk.digest for chunk in chunks()))
    assert store.add(chunk for chunk in chunks() if chunk.digest in missing).packs == PACKS - ARRIVE
    again = set(begun) & set(remote.begun)
    assert again == set(begun[ARRIVE:])
    assert len(again) <= OVER_A_LINE  # one for each that sends
    assert verify_packs(PackStore(remote)) == []
    assert PackStore(remote).missing(chunk.digest for chunk in chunks()) == []
