"""The fake TensorRT as the module `tensorrt`, for processes under test: beside the fake driver of libcuda.c.

FAKE_TENSORRT is its version, FAKE_TENSORRT_FAULT a field of `Faults` that shall be set, FAKE_TENSORRT_BUILDS a file
that gets a line for each build.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

from tests.contracts.fake_tensorrt import FakeTensorRt, Faults


class Immediate:
    """Streams whose work is done at once, as the fake driver does its copies."""

    facts = SimpleNamespace(name="Fake GPU")
    capturing: tuple[int, ...] = ()

    streams = type("Streams", (), {"__contains__": lambda _self, _stream: True})()

    def check(self):
        """Leave it to the driver whether this thread has a context."""

    def destroyed(self, _what):
        """Not looked at here."""

    def put(self, _stream, _what, work):
        """Do it."""
        work()


class Counted(list):
    """What was built in this process, and a line in a file for each, so that builds of all processes can be counted."""

    def append(self, built):
        """Note it."""
        super().append(built)
        if file := os.environ.get("FAKE_TENSORRT_BUILDS"):
            with Path(file).open("a", encoding="ascii") as lines:
                lines.write("built\n")


_fault = os.environ.get("FAKE_TENSORRT_FAULT", "")
_faults = Faults(**({_fault: True} if _fault else {}))
_fake = FakeTensorRt(Immediate(), os.environ.get("FAKE_TENSORRT", "10.3.0"), _faults)
_fake.built = Counted()
globals().update(vars(_fake))
