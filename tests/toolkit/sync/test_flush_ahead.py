"""What was written is flushed while more is written: when it is worth it, one flush at a time, and no error is lost."""

from __future__ import annotations

import errno
import threading

import pytest

from toolkit.sync.flush_ahead import FlushAhead
from toolkit.sync.folder import Folder

DEADLINE_SECONDS = 60


class Disk(Folder):
    """A folder on a disk that takes its time, and may refuse."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error = 0
        self.flushes = 0

    def flush_all(self) -> None:
        self.flushes += 1
        self.begun.release()
        assert self.go_on.acquire(timeout=DEADLINE_SECONDS)
        if self.error:
            raise OSError(self.error, "refused")
        super().flush_all()


@pytest.fixture
def disk(tmp_path):
    made = Disk(str(tmp_path))
    yield made
    made.close()


def test_little_is_left_to_the_end_and_much_is_flushed_once_at_a_time(disk):
    flushing = FlushAhead(disk, every_bytes=100)
    flushing.wrote(99)
    flushing.wait()
    assert disk.flushes == 0
    flushing.wrote(1)
    assert disk.begun.acquire(timeout=DEADLINE_SECONDS)
    flushing.wrote(500)  # the disk is busy
    assert disk.flushes == 1
    disk.go_on.release()
    flushing.wait()
    flushing.wrote(1)  # now it is not, and 501 wait
    assert disk.begun.acquire(timeout=DEADLINE_SECONDS)
    disk.go_on.release()
    flushing.wait()
    assert disk.flushes == 2


def test_what_the_disk_did_not_take_is_said_to_who_waits(disk):
    flushing = FlushAhead(disk, every_bytes=100)
    disk.error = errno.EIO
    disk.go_on.release()
    flushing.wrote(100)
    with pytest.raises(OSError, match="refused"):
        flushing.wait()
    flushing.wait()  # once: then a new one may begin


def test_what_the_disk_did_not_take_is_said_to_who_writes_on(disk):
    flushing = FlushAhead(disk, every_bytes=100)
    disk.error = errno.ENOSPC
    flushing.wrote(100)
    disk.go_on.release(2)

    def write_on() -> None:
        for _ in range(DEADLINE_SECONDS * 1000):  # until the flush that failed has ended
            flushing.wrote(100)
            threading.Event().wait(0.001)

    with pytest.raises(OSError, match="refused"):
        write_on()
    disk.go_on.release(2)
    with pytest.raises(OSError, match="refused"):
        flushing.wait()
