"""The golden check: does this model compute here what it computed at home? Runs in a child process of its own.

    python -m edge_runtime.golden MODEL.onnx --golden GOLDEN.npz --absolute 1e-3 --relative 1e-3 --accuracy 0.95 \
        --seconds 120 --memory 4000000000 --engine auto

A model is a program that others wrote: it may crash the engine, take all memory or never end. Here it may do so alone.
The limits are set before anything is loaded, so they hold also when the daemon that started us is gone. What was found
is one line of JSON on standard output, a `Finding`. STAGED of the install table; `trial` is the parent's side.
"""

from __future__ import annotations

import argparse
import math
import resource
import signal
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

import msgspec
import numpy as np

from edge_runtime.engine.base import Array, Engine
from toolkit.errors import EngineError, TiersError

_INPUT, _OUTPUT = "input.", "output."
MOST_ROWS = 16
"""Examples that are given to the model at once, when it takes any number."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the check found. `code` is empty when all is well."""

    code: str = ""
    reason: str = ""
    examples: int = 0
    worst_difference: float = 0.0
    """Largest absolute difference to an expected output."""
    accuracy: float = -1.0
    """Share of labels that were hit; -1 when there are none."""
    seconds: float = 0.0
    """Time that the inferences took."""


class _Refused(Exception):  # noqa: N818 -- a finding, not a fault
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print the finding, and give 0; whatever else happens is for the parent to explain."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon decides when we end
    signal.alarm(math.ceil(options.seconds) + 5)
    if options.memory:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    finding = check(options)
    sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
    sys.stdout.buffer.flush()
    return 0


def check(options: argparse.Namespace) -> Finding:
    """Load the model, run the golden inputs, compare."""
    from edge_runtime.engine.choose import open_engine

    try:
        engine = open_engine(options.model, engine=options.engine)
    except (MemoryError, TiersError) as error:
        return _failed("load-failed", error, options)
    try:
        engine.warm_up()
        return _compare(engine, options) if options.golden else Finding()
    except _Refused as refused:
        return Finding(code=refused.code, reason=str(refused))
    except (MemoryError, EngineError) as error:
        return _failed("golden-failed", error, options)
    finally:
        engine.close()


def _failed(code: str, error: MemoryError | TiersError, options: argparse.Namespace) -> Finding:
    said = error.message if isinstance(error, TiersError) else "no memory is left"
    if isinstance(error, MemoryError) or "alloc" in said:  # engines say it in their own words
        return Finding(code="golden-memory", reason=f"it takes more than {options.memory} bytes: {said}")
    return Finding(code=code, reason=said)


def _compare(engine: Engine, options: argparse.Namespace) -> Finding:
    arrays = _read_golden(options.golden)
    inputs = {name[len(_INPUT) :]: array for name, array in arrays.items() if name.startswith(_INPUT)}
    expected = {name[len(_OUTPUT) :]: array for name, array in arrays.items() if name.startswith(_OUTPUT)}
    examples = {len(array) for array in (*inputs.values(), *expected.values())}
    if len(examples) != 1 or not inputs or not expected:
        why = "it needs arrays input.NAME and output.NAME with the same number of examples in each"
        raise _Refused("golden-unusable", f"{options.golden.name}: {why}")
    (count,) = examples
    given: dict[str, list[Array]] = {name: [] for name in expected}
    began = perf_counter()
    for rows in _slices(engine, count):
        outputs = engine.infer({name: array[rows] for name, array in inputs.items()})
        for name, arrays_of_name in given.items():
            if name not in outputs:
                raise _Refused("golden-mismatch", f"the model has no output {name!r}")
            arrays_of_name.append(outputs[name])
    seconds = perf_counter() - began
    worst = max(_difference(name, given[name], array, options) for name, array in expected.items())
    accuracy = _accuracy(engine, given, arrays.get("labels"), options.accuracy)
    return Finding(examples=count, worst_difference=worst, accuracy=accuracy, seconds=seconds)


def _read_golden(file: Path) -> dict[str, Array]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _Refused("golden-unusable", f"{file.name} cannot be read: {error}") from error


def _slices(engine: Engine, count: int) -> Iterator[slice]:
    """Give the examples in portions that the model takes: its own batch size, or a few when that is free."""
    fixed = {spec.shape[0] for spec in engine.inputs if spec.shape and spec.shape[0] is not None}
    rows = max(fixed) if fixed else MOST_ROWS
    if rows < 1 or (fixed and count % rows):
        raise _Refused("golden-unusable", f"{count} examples do not fit the model's batch of {rows}")
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))


def _difference(name: str, given: list[Array], expected: Array, options: argparse.Namespace) -> float:
    got = np.concatenate(given)
    if got.shape != expected.shape:
        raise _Refused("golden-mismatch", f"output {name!r} has shape {got.shape}, not {expected.shape}")
    if got.dtype.kind not in "fiub" or expected.dtype.kind not in "fiub":
        raise _Refused("golden-unusable", f"output {name!r} is not numbers")
    wide, wanted = got.astype(np.float64), expected.astype(np.float64)
    apart = np.abs(wide - wanted)
    wrong = ~(apart <= options.absolute + options.relative * np.abs(wanted))  # a NaN is wrong, too
    worst = float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0.0))
    if wrong.any():
        example = int(np.argwhere(wrong)[0][0])
        why = f"{int(wrong.sum())} of {wrong.size} values of output {name!r} differ, by up to {worst:.3g}"
        raise _Refused("golden-mismatch", f"{why}; first in example {example}")
    return worst


def _accuracy(engine: Engine, given: dict[str, list[Array]], labels: Array | None, least: float) -> float:
    if labels is None:
        if least > 0:
            raise _Refused("golden-unusable", "an accuracy is asked for, but the golden file has no labels")
        return -1.0
    first = engine.outputs[0].name
    if first not in given:
        raise _Refused("golden-unusable", f"the golden file has labels, but no output {first!r}")
    scores = np.concatenate(given[first])
    if scores.ndim < 2 or labels.shape != scores.shape[:1]:  # noqa: PLR2004 -- examples and classes
        raise _Refused("golden-unusable", f"labels {labels.shape} do not fit the output {scores.shape}")
    accuracy = float(np.mean(scores.reshape(len(scores), -1).argmax(axis=1) == labels))
    if accuracy < least:
        raise _Refused(
            "golden-accuracy", f"accuracy {accuracy:.4f} on {len(labels)} examples; {least} is asked for"
        )
    return accuracy


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_runtime.golden", description="Check one model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--absolute", type=float, default=1e-3)
    parser.add_argument("--relative", type=float, default=1e-3)
    parser.add_argument("--accuracy", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--memory", type=int, default=0)
    engines: tuple[Literal["auto", "tensorrt", "onnxruntime"], ...] = ("auto", "tensorrt", "onnxruntime")
    parser.add_argument("--engine", choices=engines, default="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
