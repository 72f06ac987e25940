"""Records as files: whole lines count, each record once, and a mark is never ahead of what is durable."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.edge_runtime.outbox.crossing import Crossing
from tests.edge_runtime.outbox.test_crossing import entries
from toolkit.errors import IntegrityError, SyncError
from toolkit.fleet import record_files
from toolkit.fleet.record_files import DeviceFiles, DeviceMarks, kept, open_device, read_lines, segments
from toolkit.fleet.records import Receiver
from toolkit.link.link import Arrived
from toolkit.link.memory_link import MemoryBroker, MemoryLink
from toolkit.wire.document import decode_json, encode_json
from toolkit.wire.records import Record, RecordBatch, RecordsAnswer, decode_records_answer, encode_batch
from toolkit.wire.topics import Topics

EPOCH, OTHER = "0" * 16, "1" * 16
VECTOR = Path(__file__).parent / "vectors" / "device_marks-1.json"


def records(first: int, count: int, payload: bytes = b"x") -> list[Record]:
    return [Record(seq, "result", 1, 2, True, payload) for seq in range(first, first + count)]


def seqs(folder: Path) -> list[int]:
    return [line.seq for path in segments(folder) for line, _ in read_lines(path)]


def test_each_record_is_there_once_whatever_overlaps(tmp_path: Path) -> None:
    files = open_device(tmp_path, "us-001")
    assert files.append(EPOCH, 3, records(1, 10)) == 10
    assert files.append(EPOCH, 3, records(1, 10)) == 0
    assert files.append(EPOCH, 3, records(5, 10)) == 4
    assert files.append(EPOCH, 1, records(1, 3)) == 3, "each priority is a stream of its own"
    assert files.append(OTHER, 3, records(1, 3)) == 3, "and each epoch"
    files.sync()
    files.close()
    files = open_device(tmp_path, "us-001")
    assert (files.mark(EPOCH), files.mark(OTHER), files.mark("2" * 16)) == ((3, 0, 14), (0, 0, 3), (0, 0, 0))
    assert files.append(EPOCH, 3, records(10, 6)) == 1
    files.close()
    assert seqs(tmp_path / "us-001") == [*range(1, 15), 1, 2, 3, 1, 2, 3, 15]


def test_text_is_readable_and_other_bytes_come_back(tmp_path: Path) -> None:
    files = open_device(tmp_path, "us-001")
    payloads = [b'polyp \xc3\xa4\n"', b"\xff\x00", b""]
    for number, payload in enumerate(payloads, start=1):
        files.append(EPOCH, 2, records(number, 1, payload))
    files.close()
    path = segments(tmp_path / "us-001")[0]
    assert [line.payload for line, _ in read_lines(path)] == payloads
    first = json.loads(path.read_text().splitlines()[0])
    assert first["text"] == 'polyp ä\n"'
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_torn_line_is_put_aside_and_what_was_torn_comes_again(tmp_path: Path) -> None:
    files = open_device(tmp_path, "us-001")
    files.append(EPOCH, 3, records(1, 5))
    files.close()
    path = segments(tmp_path / "us-001")[0]
    for tear in (b'{"epoch":"0000', b"\x00" * 100 + b"\n", b'{"epoch":1}\n{"epoch":2}\n'):
        whole = path.read_bytes()
        path.write_bytes(whole + tear)
        files = open_device(tmp_path, "us-001")
        mark = files.mark(EPOCH)[2]
        assert files.append(EPOCH, 3, records(1, mark + 1)) == 1
        files.close()
        assert seqs(tmp_path / "us-001") == list(range(1, mark + 2))
        assert path.with_suffix(".damaged").read_bytes() == tear, "nothing is thrown away unseen"


def test_a_new_file_begins_with_the_marks_and_a_kill_in_between_is_harmless(tmp_path: Path) -> None:
    folder = tmp_path / "us-001"
    files = DeviceFiles(folder, segment_bytes=1000)
    for first in range(1, 200, 5):
        files.append(EPOCH, 3, records(first, 5))
    files.close()
    numbers = [path.name for path in segments(folder)]
    assert len(numbers) > 10
    marks = json.loads((folder / "marks.json").read_bytes())
    assert marks["segment"] == len(numbers)
    for path in segments(folder)[:-2]:
        path.unlink()  # the site has moved them away
    again = DeviceFiles(folder, segment_bytes=1000)
    assert again.mark(EPOCH) == (0, 0, 200)
    again.close()

    (folder / "marks.json").write_bytes(
        encode_json(DeviceMarks(segment=len(numbers) - 1, epochs={EPOCH: (0, 0, 7)}))
    )
    killed = DeviceFiles(folder, segment_bytes=1000)
    assert killed.mark(EPOCH) == (0, 0, 200), "the last two files say how far it was"
    killed.close()
    (folder / "marks.json").unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        DeviceFiles(folder)


def test_marks_are_written_as_the_vector_says() -> None:
    data = VECTOR.read_bytes().rstrip(b"\n")
    assert encode_json(decode_json(data, DeviceMarks, what="the vector")) == data


def test_what_is_not_known_to_be_durable_is_taken_back(tmp_path: Path) -> None:
    files = open_device(tmp_path, "us-001")
    files.append(EPOCH, 3, records(1, 5))
    files.sync()
    files.append(EPOCH, 3, records(6, 5))
    files.close(failed=True)
    again = open_device(tmp_path, "us-001")
    assert again.mark(EPOCH) == (0, 0, 5)
    again.close()


def test_a_folder_has_one_receiver(tmp_path: Path) -> None:
    broker = MemoryBroker()
    first = Receiver(MemoryLink(broker), Topics("north"), tmp_path)
    with pytest.raises(SyncError, match="another receiver"):
        Receiver(MemoryLink(broker), Topics("north"), tmp_path)
    with pytest.raises(SyncError, match="is not a folder"):
        Receiver(MemoryLink(broker), Topics("north"), tmp_path / "no")
    stop = threading.Event()
    stop.set()
    first.run(stop)
    Receiver(MemoryLink(broker), Topics("north"), tmp_path).run(stop)


@pytest.mark.parametrize("fails", ["write", "flush"])
def test_a_disk_that_fails_is_never_answered_as_stored(tmp_path: Path, fails: str) -> None:
    crossing = Crossing(tmp_path)
    crossing.draining.connected()
    crossing.outbox.put_all(entries(0, 5))
    for _ in range(3):
        crossing.step()
    assert crossing.outbox.fill().records == (0, 0, 0)
    files = crossing.receiver._devices["us-001"].files
    # A pipe takes what is written and refuses to be flushed.
    out, into = os.pipe()
    broken = os.open("/dev/full", os.O_WRONLY) if fails == "write" else os.dup(into)
    real, files._descriptor = files._descriptor, broken
    crossing.outbox.put_all(entries(5, 5))
    crossing.step()
    crossing.step()
    assert crossing.outbox.fill().records == (0, 0, 5), "the device keeps them"
    assert crossing.receiver.counters.refused["busy"] == 1
    for descriptor in (real, out, into):
        os.close(descriptor)
    crossing.drain()
    assert [name[2] for name in crossing.stored()] == list(range(1, 11))


def test_a_flush_is_shared_by_all_that_waits(tmp_path: Path) -> None:
    crossing = Crossing(tmp_path)
    topics = Topics("north")
    batches = [
        RecordBatch(
            device="us-001",
            epoch=EPOCH,
            round=1,
            priority=3,
            after=after,
            records=tuple(records(after + 1, 5)),
        )
        for after in range(0, 50, 5)
    ]
    crossing.receiver.take([Arrived(topics.records("us-001"), encode_batch(batch)) for batch in batches])
    answers = [decode_records_answer(payload) for payload in crossing.back]
    assert (crossing.receiver.counters.flushes, len(answers)) == (1, 10)
    assert answers[-1] == RecordsAnswer(epoch=EPOCH, round=1, stored=(0, 0, 50))


def test_of_too_many_epochs_the_one_that_was_silent_longest_is_forgotten(tmp_path: Path) -> None:
    files = open_device(tmp_path, "us-001")
    for number in range(record_files.MAX_EPOCHS):
        files.append(f"{number:016x}", 3, records(1, 1))
    files.append(f"{0:016x}", 3, records(2, 1))
    files.append("f" * 16, 3, records(1, 1))
    files.close()
    for opened in (files, open_device(tmp_path, "us-001")):
        assert len(opened.marks) == record_files.MAX_EPOCHS
        assert (opened.mark(f"{0:016x}"), opened.mark(f"{1:016x}")) == ((0, 0, 2), (0, 0, 0))
        assert opened.mark("f" * 16) == (0, 0, 1)
        opened.close()


def test_what_is_kept_is_listed(tmp_path: Path) -> None:
    files = open_device(tmp_path, "us-001")
    files.append(EPOCH, 3, records(1, 5))
    files.append(OTHER, 1, records(1, 2))
    files.close()
    found = kept(tmp_path)
    assert [(each.device, each.epoch, each.stored, each.files) for each in found] == [
        ("us-001", EPOCH, (0, 0, 5), 1),
        ("us-001", OTHER, (2, 0, 0), 1),
    ]
    assert found[0].total_bytes == sum(path.stat().st_size for path in segments(tmp_path / "us-001"))
    shutil.rmtree(tmp_path / "us-001")
    assert kept(tmp_path) == ()
    with pytest.raises(SyncError):
        kept(tmp_path / "no")
