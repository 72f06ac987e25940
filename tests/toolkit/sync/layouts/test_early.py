"""A first copy is written while its source is scanned: once and proven. What is odd goes the ordinary way."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from tests.toolkit.sync.trees import photograph, task_of
from toolkit.sync.cache import facts_of, has_settled, now_ns
from toolkit.sync.events import Moved, Planned, Scanned, unheard
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.pace import Pace
from toolkit.sync.read import LARGE_BYTES
from toolkit.sync.run import run_task
from toolkit.sync.selection import EVERYTHING
from toolkit.sync.source import FolderTree
from toolkit.sync.target import Wish

DATA = random.Random(11).randbytes(LARGE_BYTES + 1_234_567)


@pytest.fixture
def task(tmp_path, wait_until):
    task = task_of(tmp_path)
    (tmp_path / "edge/frames/large").write_bytes(DATA)
    (tmp_path / "edge/frames/small").write_bytes(b"small")
    facts = facts_of((tmp_path / "edge/frames/large").stat())
    wait_until(lambda: has_settled(facts, now_ns()), "the file has come to rest")
    return task


def drafts(tmp_path):
    return sorted((tmp_path / "hot/.tiers/partial/routes/frames").iterdir())


def arrived(tmp_path):
    return photograph(tmp_path / "hot/frames") == photograph(tmp_path / "edge/frames")


def test_the_draft_is_whole_before_anything_is_planned_and_the_events_count_it(tmp_path, task):
    told = []

    def listen(event):
        told.append(event)
        if isinstance(event, Scanned):
            assert [draft.read_bytes() == DATA for draft in drafts(tmp_path)] == [True]

    result = run_task(task, listen=listen)
    assert arrived(tmp_path)
    moved = [event for event in told if isinstance(event, Moved)]
    (planned,) = (event for event in told if isinstance(event, Planned))
    assert planned.total_bytes == sum(event.total_bytes for event in moved) == result.bytes_moved
    assert planned.chunks == result.targets[0].chunks_moved == result.chunks
    assert not run_task(task).targets[0].changed


def test_only_the_first_copy_is_written_so(tmp_path, task):
    run_task(task)
    target = MirrorTarget(str(tmp_path / "hot"), task)
    assert target.tap() is None
    target.close()


def test_what_an_earlier_run_has_brought_is_not_written_again(tmp_path, task):
    target = MirrorTarget(str(tmp_path / "hot"), task)
    sink = target.tap().begin(b"large", len(DATA))
    sink.write(memoryview(DATA)[:5_000_000], 0)
    sink.end(None)  # killed here
    target.close()
    result = run_task(task)
    assert arrived(tmp_path)
    assert result.bytes_moved < len(DATA) - 4_000_000


def test_copies_move_once(tmp_path, task):
    for name in ("again", "once more"):
        (tmp_path / "edge/frames" / name).write_bytes(DATA)
    written = []

    def listen(event):
        if isinstance(event, Scanned):
            written.extend(draft.stat().st_size for draft in drafts(tmp_path))

    result = run_task(task, listen=listen)
    assert arrived(tmp_path)
    assert written == [len(DATA)]
    assert result.bytes_moved == len(DATA) + len(b"small")


def test_a_file_that_may_change_within_the_same_tick_is_read_twice(tmp_path, task):
    later = time.time_ns() + 60 * 10**9
    os.utime(tmp_path / "edge/frames/large", ns=(later, later))

    def listen(event):
        if isinstance(event, Scanned):
            assert not (tmp_path / "hot/.tiers/partial/routes/frames").exists()

    run_task(task, listen=listen)
    assert arrived(tmp_path)


class Meddler:
    """Hands on what it gets, and changes the source file while it is read."""

    def __init__(self, tap, file, times):
        self.tap, self.file, self.times = tap, file, times
        self.ends = []

    def begin(self, path, size):
        self.sink = self.tap.begin(path, size)
        return self

    def write(self, data, offset):
        if self.times > 0:  # two threads may come here at once
            self.times -= 1
            with self.file.open("r+b") as file:
                file.write(b"changed")
                file.seek(0, os.SEEK_END)
                file.write(b"and grown")  # which shows, however coarse the clock of the file system is
        if self.sink is not None:
            self.sink.write(data, offset)

    def end(self, chunks):
        self.ends.append(chunks)
        if self.sink is not None:
            self.sink.end(chunks)


def test_a_file_that_changes_while_it_is_read_arrives_as_it_came_to_rest(tmp_path, task):
    tree = FolderTree(str(tmp_path / "edge"), task, EVERYTHING, remember=False)
    target = MirrorTarget(str(tmp_path / "hot"), task)
    meddler = Meddler(target.tap(), tmp_path / "edge/frames/large", times=1)
    found = tree.look(meddler)
    assert (
        meddler.ends[0] is None
    )  # on a slow machine it has come to rest by the second reading, and that one is taken
    target.plan(Wish(found.index))
    filled = target.fill(tree.chunks, Pace(0), unheard)
    assert not filled.torn
    target.commit(filled.torn_paths)
    target.close()
    tree.close()
    assert arrived(tmp_path)


FILLS_UP = """
import resource, signal, sys
from pathlib import Path
from tests.toolkit.sync.trees import task_of
from toolkit.sync.run import run_task
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
target = run_task(task_of(Path(sys.argv[1]))).targets[0]
print(target.exit_code, target.error)
"""


def test_a_disk_that_takes_no_more_is_said_and_what_was_written_counts(tmp_path, task):
    command = [sys.executable, "-c", FILLS_UP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250)
    assert done.stdout.startswith("5 "), done.stdout
    assert photograph(tmp_path / "hot") == {}
    result = run_task(task)
    assert arrived(tmp_path)
    assert 0 < result.bytes_moved < len(DATA) - 2_000_000


BREAKS_OFF = """
import resource, signal, sys
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.early import EarlyDrafts
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
folder = Folder(sys.argv[1])
drafts = Drafts(folder, b"partial", "file:///nowhere")
for name, size in ((b"fits", 900_000), (b"does not", 1_100_000)):
    sink = EarlyDrafts(folder, b"", drafts).begin(name, size)
    sink.write(memoryview(bytes(size)), 0)
    sink.end(b"its chunks")
print(list(drafts.early))
"""


def test_a_draft_that_broke_off_does_not_count_as_written(tmp_path):
    command = [sys.executable, "-c", BREAKS_OFF, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250)
    assert done.stdout.strip() == "[b'fits']"


def test_no_draft_is_written_that_the_disk_has_no_room_for(tmp_path, task):
    target = MirrorTarget(str(tmp_path / "hot"), task)
    assert target.tap().begin(b"bomb", 1 << 60) is None
    target.close()
