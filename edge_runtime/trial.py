"""Run the golden check in a child process and say what came of it, whatever that child does: STAGED of the table.

The child gets a time limit, a memory limit and no input; a crash, a hang or nonsense on its output is a finding with a
reason. One thread waits for it; `stop` kills it when an installation is given up.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.engine.choose import BUILD_SECONDS
from edge_runtime.engine.cuda import find_gpu
from edge_runtime.golden import Finding
from edge_runtime.worker import Post
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.learnt import learn
from toolkit.wire.manifest import Manifest

log = logging.getLogger(__name__)
INTERRUPTED: Final = "golden-interrupted"
"""Code of a check that said nothing about the model, because somebody ended it."""
GIB: Final = 1024**3
BASE_MEMORY: Final = 2 * GIB
"""Address space of Python, NumPy and the engine's threads and arenas, most of which is never touched."""
MEMORY_PER_BYTE: Final = 6
"""Address space a model may take for each byte of its artifact: weights, a rearranged copy, and activations."""
MAX_OUTPUT_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Trial:
    """What is to be checked."""

    model: str
    folder: Path
    manifest: Manifest
    config: ModelConfig
    plans: Path | None = None
    """Where TensorRT's plans are kept; None where there are none."""

    @property
    def seconds(self) -> float:
        """Longest time of the child: the check itself, and before it a build where this machine may need one."""
        builds = self.plans is not None and self.config.engine != "onnxruntime" and not find_gpu()
        return self.config.golden_seconds + (BUILD_SECONDS if builds else 0.0)

    def command(self) -> list[str]:
        """Give the child's command line."""
        memory = (
            BASE_MEMORY + MEMORY_PER_BYTE * self.manifest.total_bytes + self.manifest.requires.memory_bytes
        )
        options: list[str] = []
        if self.manifest.golden is not None:
            golden = self.manifest.golden
            options = ["--golden", str(self.folder / golden.file)]
            options += ["--absolute", repr(golden.absolute_tolerance)]
            options += ["--relative", repr(golden.relative_tolerance)]
            options += ["--accuracy", repr(golden.min_accuracy)]
            options += ["--p95", repr(self.manifest.requires.p95_seconds)]
        if self.manifest.stages:
            options += ["--stages", msgspec.json.encode(self.manifest.stages).decode()]
        return [
            sys.executable,
            "-m",
            "edge_runtime.golden",
            str(self.folder / self.manifest.model_file),
            *options,
            *("--seconds", repr(self.config.golden_seconds)),
            *("--memory", str(memory)),
            *("--engine", self.config.engine),
            *(("--plans", str(self.plans), "--max-batch", str(self.config.max_batch)) if self.plans else ()),
        ]


class Trials:
    """The children that run; at most one a model. For the control thread."""

    def __init__(self, post: Post) -> None:
        """Prepare; `post` carries findings to the control thread."""
        self._post = post
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, trial: Trial, done: Callable[[Finding], None]) -> None:
        """Start the check; `done` is called in the control thread."""
        self.stop(trial.model)
        try:
            child = subprocess.Popen(
                trial.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            reason = f"the golden check cannot be started: {error}"
            finding = Finding(code="io-error", reason=reason)
            self._post(lambda: done(finding))
            return
        self._children[trial.model] = child

        def wait() -> None:
            finding = watch(child, trial.seconds)
            if self._children.get(trial.model) is not child:
                finding = Finding(code=INTERRUPTED, reason="the golden check was given up")
            self._post(lambda: done(finding))

        threading.Thread(target=wait, name=f"golden-{trial.model}", daemon=True).start()

    def stop(self, model: str) -> None:
        """Kill the check of this model, if one runs."""
        child = self._children.pop(model, None)
        if child is not None and child.poll() is None:
            child.kill()

    def close(self) -> None:
        """Kill all checks."""
        for model in list(self._children):
            self.stop(model)


def watch(child: subprocess.Popen[bytes], seconds: float) -> Finding:
    """Wait for a golden check and say what came of it."""
    try:
        output, errors = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return Finding(code="golden-timeout", reason=f"the golden check did not end within {seconds:g} s")
    last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
    if child.returncode < 0:
        name = _signal_name(-child.returncode)
        if -child.returncode == signal.SIGTERM:
            return Finding(code=INTERRUPTED, reason="the golden check was ended from outside")
        return Finding(code="golden-crashed", reason=f"the model took the golden check down with {name}")
    if child.returncode or len(output) > MAX_OUTPUT_BYTES:
        if "MemoryError" in last or "alloc" in last:
            return Finding(code="golden-memory", reason=f"it takes more memory than it may: {last}")
        return Finding(
            code="golden-crashed", reason=f"the golden check ended with {child.returncode}: {last}"
        )
    try:
        # An engine may print of its own accord; the finding is the last line.
        return msgspec.json.decode(output.strip().rpartition(b"\n")[2], type=learn(Finding))
    except msgspec.DecodeError as error:
        log.warning("the golden check printed %r", output[:200])
        return Finding(
            code="golden-crashed", reason=f"the golden check said nothing that can be read: {error}"
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
