"""Run the daemon's coroutine on the fastest event loop that this machine has."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import TypeVar

Result = TypeVar("Result")


def run(main: Coroutine[object, object, Result]) -> Result:
    """Run a coroutine to its end, on uvloop when it is installed, else on asyncio's own loop."""
    if find_spec("uvloop") is None:
        return asyncio.run(main)
    import uvloop

    result: Result = uvloop.run(main)
    return result
