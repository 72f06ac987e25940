"""Records of reads: the latest counts, a folder counts for what lies below it, damage counts as none."""

from __future__ import annotations

import pytest

from toolkit.errors import UnsafePathError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.policies.reads import last_read, last_reads, record_read, together
from toolkit.sync.remotes.directory import DirectoryRemote


@pytest.fixture
def documents(tmp_path):
    return Documents(DirectoryRemote(str(tmp_path)))


def test_the_latest_read_counts(documents):
    assert record_read(documents, "studies/7", 1_000)
    assert record_read(documents, "studies/7", 5_000)
    assert not record_read(documents, "studies/7", 3_000)
    assert last_reads(documents) == {b"studies/7": 5_000}


def test_a_read_of_a_folder_counts_for_what_lies_below_it(documents):
    record_read(documents, "studies/7", 2_000)
    record_read(documents, b"studies/7/image-\xff.dcm", 1_000)
    reads = last_reads(documents)
    assert last_read(reads, b"studies/7/image-\xff.dcm") == 2_000
    assert last_read(reads, b"studies/7") == 2_000
    assert last_read(reads, b"studies/70/image.dcm") == 0
    record_read(documents, "", 9_000)
    assert last_read(last_reads(documents), b"studies/70/image.dcm") == 9_000


def test_a_damaged_or_misplaced_record_counts_as_none(documents):
    record_read(documents, "a", 1_000)
    (key,) = (found.key for found in documents.remote.list("reads/"))
    data = documents.remote.read(key)
    documents.remote.write("reads/00/elsewhere", data)
    assert last_reads(documents) == {b"a": 1_000}
    documents.remote.write(key, data[:-4])
    assert last_reads(documents) == {}
    assert record_read(documents, "a", 500)
    assert last_reads(documents) == {b"a": 500}


def test_a_path_that_escapes_is_refused(documents):
    with pytest.raises(UnsafePathError):
        record_read(documents, "../etc", 1)


def test_reads_of_several_storages():
    assert together({b"a": 1, b"b": 5}, {b"a": 3}) == {b"a": 3, b"b": 5}
