"""What a tool took is the tool's own."""

from __future__ import annotations

import sys

import pytest

from benchmarks.syncing.process import run

MIB = 1024 * 1024


def test_memory_of_a_tool_is_not_that_of_who_measures_it():
    ours = bytearray(b"x") * (200 * MIB)
    assert run(["true"]).memory < 60 * MIB
    assert run([sys.executable, "-c", "len(bytearray(b'x') * (100 << 20))"]).memory > 100 * MIB
    del ours


def test_a_tool_that_fails_is_told_with_what_it_said():
    with pytest.raises(AssertionError, match="no such place"):
        run([sys.executable, "-c", "import sys; sys.exit('no such place')"])
    assert run([sys.executable, "-c", "print(7)"]).output == "7\n"
