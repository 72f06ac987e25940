"""Conditions of a task, one by one."""

from __future__ import annotations

import msgspec
import pytest

from tests.toolkit.sync.test_task import TASK
from toolkit.sync.selection import EVERYTHING, selection_of

DAY = 86_400 * 1_000_000_000
NOW = 100 * DAY


def selection(**fields):
    return selection_of(msgspec.structs.replace(TASK, **fields), NOW)


def test_no_condition_takes_everything():
    assert selection() == EVERYTHING
    assert EVERYTHING.takes_all
    assert EVERYTHING.takes(b"\xff", 0, 2**62)


@pytest.mark.parametrize(
    ("changed", "taken"), [(NOW - 31 * DAY, True), (NOW - 30 * DAY, True), (NOW - 29 * DAY, False)]
)
def test_age(changed, taken):
    chosen = selection(older_than_seconds=30 * 86400.0)
    assert chosen.takes(b"a", 1, changed) is taken
    assert not chosen.takes_all


@pytest.mark.parametrize(("size", "taken"), [(0, False), (100, False), (101, True)])
def test_size(size, taken):
    assert selection(larger_than_bytes=100).takes(b"a", size, 0) is taken


@pytest.mark.parametrize(
    ("pattern", "name", "taken"),
    [
        ("*.dcm", b"a.dcm", True),
        ("*.dcm", b"\xff\n.dcm", True),
        ("*.dcm", b"a.dcm.part", False),
        ("*.dcm", b"A.DCM", False),
        ("image-[0-9]?", b"image-12", True),
        ("image-[0-9]?", b"image-1", False),
        ("ä*", "äb".encode(), True),
        ("a.c", b"abc", False),
    ],
)
def test_name(pattern, name, taken):
    assert selection(matching=pattern).takes(name, 1, 0) is taken
