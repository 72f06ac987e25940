"""Run the daemon's coroutine on the fastest event loop that this machine has, and without pauses for garbage.

The first that `__main__` does when all modules are loaded; `daemon` runs on it from then on.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Final, TypeVar

Result = TypeVar("Result")
COLLECT_AFTER: Final = (50_000, 20, 50)
"""New objects before the youngest are looked at, and how often they are before older ones are (Python: 700, 10, 10)."""


def collect_rarely() -> None:
    """Look for cycles of garbage rarely, and never in what is loaded by now.

    Reference counts free what a request needs; the collector only looks at it again and again. With Python's own
    thresholds that is a sixth of the processor time of a request that comes alone (docs/benchmarks.md, serving).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def run(main: Coroutine[object, object, Result]) -> Result:
    """Run a coroutine to its end, on uvloop when it is installed, else on asyncio's own loop."""
    if find_spec("uvloop") is None:
        return asyncio.run(main)
    import uvloop

    result: Result = uvloop.run(main)
    return result
