"""The daemon's process collects garbage rarely, and leaves alone what was loaded before it began to serve."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, gc
from edge_runtime.serving.loop import COLLECT_AFTER, collect_rarely, run

collect_rarely()
async def main():
    return gc.get_threshold() == COLLECT_AFTER, gc.get_freeze_count() > 1000, gc.isenabled()
print(*run(main()))
"""


def test_garbage_is_collected_rarely_and_not_among_what_was_loaded() -> None:
    # In a process of its own, because what it changes holds for the whole process.
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "True", "True"]
