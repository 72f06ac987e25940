"""What a tool and its children hold together is seen."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.syncing.process import run
from benchmarks.syncing.tree_memory import TreeMemory

MIB = 1024 * 1024
TWO = """
import pathlib, subprocess, sys, threading
held = bytearray(b"x") * (60 << 20)
child = len(sys.argv) == 2 and subprocess.Popen([sys.executable, "-c", sys.argv[1], "", ""])
until = pathlib.Path("seen")
while not until.exists():
    threading.Event().wait(0.02)
"""


def test_the_memory_of_a_tool_and_its_child_is_added_up(tmp_path):
    with TreeMemory() as memory, ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, [sys.executable, "-c", TWO, TWO], cwd=tmp_path)
        pause, until = threading.Event(), time.monotonic() + 60
        while memory.peak < 120 * MIB and time.monotonic() < until:
            pause.wait(0.05)
        (tmp_path / "seen").touch()
        alone = running.result().memory
    assert 120 * MIB < memory.peak < 200 * MIB
    assert alone < 110 * MIB
