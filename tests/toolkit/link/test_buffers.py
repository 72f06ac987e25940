"""What is freed stays in the process: a block of a frame's size costs its page faults once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from toolkit.link.buffers import keep_buffers
if sys.argv[1] == "kept":
    assert keep_buffers()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(2):
    before = faults()
    for _ in range(200):
        held = [b"x" * (1024 * 1024) for _ in range(4)]
        del held
print(faults() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is known to give blocks back so eagerly"
)
def test_buffers_that_come_and_go_cost_no_page_faults() -> None:
    found = {
        how: int(
            subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, check=True).stdout
        )
        for how in ("kept", "default")
    }
    assert found["kept"] * 5 < found["default"]
