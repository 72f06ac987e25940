"""Look into one generation of TensorRT's real bindings, in a process of its own: `look.py FOLDER`, JSON on stdout.

Runs over stub libraries (LD_LIBRARY_PATH), so classes and their signatures can be read, and those classes that are
plain Python underneath can be used: what `callbacks` and `generation` make of them is tried here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))
sys.path.insert(0, sys.argv[1])

import tensorrt_bindings as trt

from edge_runtime.engine.callbacks import (
    Growing,
    Progress,
    Said,
    make_allocator,
    make_logger,
    make_monitor,
)
from edge_runtime.engine.generation import network_flags, numpy_type, release


def describe(kind: type) -> dict[str, dict[str, object]]:
    """Give each member with its documentation, and whether it can be assigned."""
    found = {}
    for name in dir(kind):
        member = getattr(kind, name)
        found[name] = {
            "doc": member.__doc__ if callable(member) or isinstance(member, property) else "",
            "assignable": isinstance(member, property) and member.fset is not None,
            "method": callable(member) and not isinstance(member, kind),
        }
    return found


said, told = Said(), []
logger = make_logger(trt, said)
logger.log(trt.ILogger.WARNING, "not an error")
logger.log(trt.ILogger.ERROR, "first")
logger.log(trt.ILogger.INTERNAL_ERROR, "second")
monitor = make_monitor(trt, Progress(lambda *step: told.append(step), deadline=float("inf")))
monitor.phase_start("Building", None, 2)
monitor.phase_start("Inner", "Building", 2)
goes_on = monitor.step_complete("Building", 0)
monitor.phase_finish("Building")
growing = Growing(allocate=lambda _: 4096, release=lambda _: None)
allocator = make_allocator(trt, growing)
address = allocator.reallocate_output("y", 0, 10, 256)
again = allocator.reallocate_output_async("y", address, 10, 256, 0)
allocator.notify_shape("y", trt.Dims((2, 3)))
kinds = ("FLOAT", "HALF", "INT8", "INT32", "INT64", "UINT8", "BOOL")

json.dump(
    {
        "version": trt.__version__,
        "release": release(trt),
        "flags": network_flags(trt),
        "said": said.reason(),
        "told": told,
        "goes on": goes_on,
        "allocator": [address, again, growing.capacity, growing.shape],
        "dtypes": {name: numpy_type(getattr(trt.DataType, name)).name for name in kinds},
        "members": {name: describe(each) for name, each in vars(trt).items() if isinstance(each, type)},
        "docs": {name: each.__doc__ for name, each in vars(trt).items() if isinstance(each, type)},
    },
    sys.stdout,
)
