"""The golden check: does this model compute here what it computed at home? Runs in a child process of its own.

    python -m edge_runtime.golden MODEL.onnx --golden GOLDEN.npz --absolute 1e-3 --relative 1e-3 --accuracy 0.95 \
        --seconds 120 --memory 4000000000 --engine auto

With stages the golden inputs go in before them, and the golden outputs are what comes out after them.

A model is a program that others wrote: it may crash the engine, take all memory or never end. Here it may do so alone.
The limits are set before anything is loaded, so they hold also when the daemon that started us is gone. What was found
is one line of JSON on standard output, a `Finding`. STAGED of the install table; `trial` is the parent's side.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from edge_runtime.engine.base import Array, Engine, Tensors, find_mismatch
from edge_runtime.engine.choose import PlanRoom, open_engine
from edge_runtime.engine.cuda import find_gpu
from edge_runtime.golden_examples import Examples, UnusableError, read_examples, slices
from edge_runtime.golden_verdict import RefusedError, accuracy, difference
from edge_runtime.serving.refusals import BadRequestError
from toolkit.errors import EngineError, TiersError
from toolkit.wire.learnt import learn
from toolkit.wire.stages import Stages

if TYPE_CHECKING:
    from edge_runtime.serving.stages.chain import Chain

TIMED = 100
"""Inferences that are timed one by one, where a manifest says how long they may take."""


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
    p95_seconds: float = 0.0
    """Time in which 95 of 100 examples, one at a time, were answered; 0 when nobody asked for it."""
    peak_bytes: int = 0
    """Most memory that the child process held."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print the finding, and give 0; whatever else happens is for the parent to explain."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon decides when we end
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # If memory runs out all the same, the kernel is to take this check and not the daemon that serves.
        Path("/proc/self/oom_score_adj").write_text("1000")
    finding = _build_first(options)
    signal.alarm(math.ceil(options.seconds) + 5)
    # CUDA reserves the address space of all memory that it could ever use, so there only time is limited.
    if options.memory and (options.engine == "onnxruntime" or find_gpu()):
        resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))
    finding = finding or check(options)
    sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _build_first(options: argparse.Namespace) -> Finding | None:
    """Let TensorRT's plan be built where one may be needed: it has a time of its own, and a process of its own."""
    if options.plans is None or options.engine == "onnxruntime" or find_gpu():
        return None
    from edge_runtime.engine.builder import build_in_child

    try:
        build_in_child(options.model, PlanRoom(options.plans, options.max_batch))
    except TiersError as error:
        if options.engine == "tensorrt":
            return _failed("load-failed", error, options)
        options.engine = "onnxruntime"  # what `auto` will come to
    return None


def check(options: argparse.Namespace) -> Finding:
    """Load the model, run the golden inputs, compare."""
    room = None if options.plans is None else PlanRoom(options.plans, options.max_batch)
    try:
        engine = open_engine(options.model, engine=options.engine, room=room)
    except (MemoryError, TiersError) as error:
        return _failed("load-failed", error, options)
    try:
        chain = _chain(engine, options)
        engine.warm_up()
        return _compare(engine, chain, options) if options.golden else Finding()
    except RefusedError as refused:
        return Finding(code=refused.code, reason=str(refused))
    except UnusableError as unusable:
        return Finding(code="golden-unusable", reason=str(unusable))
    except BadRequestError as refused:
        return Finding(code="golden-unusable", reason=f"an example is none: {refused.message}")
    except (MemoryError, EngineError) as error:
        return _failed("golden-failed", error, options)
    finally:
        engine.close()


def _chain(engine: Engine, options: argparse.Namespace) -> Chain | None:
    if not options.stages:
        return None
    from edge_runtime.serving.stages.chain import Chain, UnfitStagesError

    try:
        stages = msgspec.json.decode(options.stages, type=learn(Stages))
        return Chain(stages, engine.inputs, engine.outputs, options.model.name)
    except (msgspec.DecodeError, UnfitStagesError) as error:
        said = error.message if isinstance(error, UnfitStagesError) else str(error)
        raise RefusedError("stages-unfit", said) from error


def _failed(code: str, error: MemoryError | TiersError, options: argparse.Namespace) -> Finding:
    said = error.message if isinstance(error, TiersError) else "no memory is left"
    if isinstance(error, MemoryError) or "alloc" in said:  # engines say it in their own words
        return Finding(code="golden-memory", reason=f"it takes more than {options.memory} bytes: {said}")
    return Finding(code=code, reason=said)


def _compare(engine: Engine, chain: Chain | None, options: argparse.Namespace) -> Finding:
    examples = read_examples(options.golden)
    outputs = engine.outputs if chain is None else chain.outputs
    for name in examples.outputs:
        if name not in {spec.name for spec in outputs}:
            raise RefusedError("golden-mismatch", f"the model has no output {name!r}")
    began = perf_counter()
    if chain is None or not chain.changes_inputs:
        given = _in_rows(engine, chain, examples)
    else:
        given = _one_by_one(engine, chain, examples)
    seconds = perf_counter() - began
    tolerance = (options.absolute, options.relative)
    worst = max(difference(name, given[name], examples, tolerance) for name in examples.outputs)
    share = accuracy(outputs[0].name, given, examples.labels, options.accuracy)
    p95 = _p95(engine, chain, examples, options.p95) if options.p95 else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Finding(
        examples=examples.count,
        worst_difference=worst,
        accuracy=share,
        seconds=seconds,
        p95_seconds=p95,
        peak_bytes=peak,
    )


def _ask(engine: Engine, chain: Chain | None, inputs: Mapping[str, Array]) -> Tensors:
    """Do what the daemon will do for a request: stages, engine, stages."""
    if chain is None:
        return engine.infer(inputs)
    if mismatch := find_mismatch(chain.inputs, inputs):
        raise EngineError(mismatch)
    return chain.after(engine.infer(chain.before(inputs)))


def _in_rows(engine: Engine, chain: Chain | None, examples: Examples) -> dict[str, list[Array]]:
    """Ask several examples at a time; give what came for each, output by output."""
    given: dict[str, list[Array]] = {name: [] for name in examples.outputs}
    for rows in slices(engine.inputs, examples.count):
        outputs = _ask(engine, chain, {name: array[rows] for name, array in examples.inputs.items()})
        for name, arrays in given.items():
            if outputs[name].ndim == 0 or len(outputs[name]) != rows.stop - rows.start:
                shape = outputs[name].shape
                raise RefusedError(
                    "golden-mismatch", f"output {name!r} has shape {shape}, not a row an example"
                )
            arrays.extend(outputs[name])
    return given


def _one_by_one(engine: Engine, chain: Chain, examples: Examples) -> dict[str, list[Array]]:
    """Ask example by example, each a request; an axis of one row is taken off again."""
    given: dict[str, list[Array]] = {name: [] for name in examples.outputs}
    for number in range(examples.count):
        outputs = _ask(engine, chain, examples.single(number, chain.inputs))
        for name, arrays in given.items():
            rank = examples.outputs[name].ndim - 1
            got = outputs[name]
            arrays.append(got[0] if got.ndim == rank + 1 and len(got) == 1 else got)
    return given


def _p95(engine: Engine, chain: Chain | None, examples: Examples, most: float) -> float:
    """Ask one example at a time, as the first request after a pause does, and give the time that 95 of 100 kept."""
    specs = engine.inputs if chain is None else chain.inputs
    if any(spec.shape[:1] not in {(None,), (1,)} for spec in engine.inputs):
        raise RefusedError("golden-unusable", "a time is asked for, but the model takes no single example")
    seconds = []
    for turn in range(TIMED):
        inputs = examples.single(turn % examples.count, specs)
        began = perf_counter()
        _ask(engine, chain, inputs)
        seconds.append(perf_counter() - began)
    p95 = float(np.quantile(seconds, 0.95, method="higher"))
    if p95 > most:
        said = f"95 of 100 examples take up to {p95 * 1000:.3g} ms here; {most * 1000:g} ms are allowed"
        raise RefusedError(
            "golden-slow", f"{said}; look at what else this device does, or roll out to faster ones"
        )
    return p95


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_runtime.golden", description="Check one model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--absolute", type=float, default=1e-3)
    parser.add_argument("--relative", type=float, default=1e-3)
    parser.add_argument("--accuracy", type=float, default=0.0)
    parser.add_argument(
        "--p95", type=float, default=0.0, help="Seconds that 95 of 100 may take; 0 times nothing."
    )
    parser.add_argument("--stages", default="", help="JSON of the manifest's stages.")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--memory", type=int, default=0)
    engines: tuple[Literal["auto", "tensorrt", "onnxruntime"], ...] = ("auto", "tensorrt", "onnxruntime")
    parser.add_argument("--plans", type=Path, help="Where TensorRT's plans are kept.")
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--engine", choices=engines, default="auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
