"""A task travels as JSON and is checked when it arrives."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from toolkit.errors import IntegrityError, UnsafePathError
from toolkit.sync.task import (
    Storage,
    SyncTask,
    decode_task,
    decode_tasks,
    encode_task,
    encode_tasks,
    with_folders,
)

TASK = SyncTask(
    route="frames",
    source=Storage(tier="edge", url="file:///data"),
    targets=(Storage(tier="hot", url="file:///mnt"), Storage(tier="hot", url="s3://b", layout="packs")),
    path="frames/today",
    every_seconds=600.0,
    limit_bytes_per_second=1,
    copies=1,
)


def test_a_task_comes_back_as_it_went():
    assert decode_task(encode_task(TASK)) == TASK
    assert decode_tasks(encode_tasks([TASK, TASK])) == (TASK, TASK)
    assert decode_tasks(encode_tasks([])) == ()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"[{}]", b'[{"format": 9}]', b"nothing"])
def test_what_is_no_task_is_refused(data):
    with pytest.raises(IntegrityError):
        decode_tasks(data, what="tasks.json")


def test_the_number_of_a_bad_task_is_named():
    bad = encode_task(TASK).replace(b"frames/today", b"../elsewhere")
    with pytest.raises(UnsafePathError, match=r"\.\./elsewhere"):
        decode_tasks(b"[" + encode_task(TASK) + b"," + bad + b"]")
    with pytest.raises(IntegrityError, match=r"tasks\.json, number 2"):
        decode_tasks(b"[" + encode_task(TASK) + b",{}]", what="tasks.json")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"targets": ()}, "has no target"),
        ({"targets": (TASK.source,)}, "source and target at once"),
        ({"route": "x" * 64}, "must be letters"),
        ({"every_seconds": -1.0}, "negative"),
        ({"copies": 3}, "more copies than it has targets"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(fields, complaint):
    with pytest.raises(IntegrityError, match=complaint):
        decode_task(encode_task(msgspec.structs.replace(TASK, **fields)))


def test_folders_take_the_place_of_storages_and_layouts_stay():
    tried = with_folders(TASK, Path("/tmp/a b"), Path("/tmp/c"))  # noqa: S108 -- not opened
    assert (tried.source.url, tried.source.tier) == ("file:///tmp/a%20b", "edge")
    assert [target.url for target in tried.targets] == ["file:///tmp/c"]
    assert (tried.targets[0].layout, tried.copies) == ("mirror", 0)
    assert with_folders(TASK) == TASK


def test_what_format_1_can_say_is_said_in_format_1():
    assert decode_task(encode_task(TASK)).format == 1
    named = msgspec.structs.replace(TASK.source, credentials_file="/etc/tiers/secrets/warm")
    newer = msgspec.structs.replace(TASK, source=named, format=0)
    assert newer.format == 2
    assert decode_task(encode_task(newer)) == newer
