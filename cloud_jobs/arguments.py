"""What can be said on the command line of `python -m cloud_jobs.train`; everything else is in the recipe.

A variable that `tiers job submit` or the rendered Volcano Job sets is the default, so that the command in tiers.yaml
need not name folders. Flow: argv, environment -> `parse` -> Options -> train.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from cloud_jobs.export import Exporter
from cloud_jobs.recipes import RECIPES
from toolkit.wire.job import CHECKPOINT_SECONDS_VARIABLE, CHECKPOINTS_VARIABLE, OUTPUT_VARIABLE


@dataclass(frozen=True)
class Options:
    """One call of the trainer. `epochs` 0: as the recipe says. `processes` 0: one for each GPU of this machine."""

    recipe: str
    output: Path
    checkpoints: Path
    epochs: int
    seed: int
    start: Path | None
    checkpoint_seconds: float
    checkpoint_steps: int
    exporter: Exporter
    processes: int


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the command line; argparse explains a wrong one and ends with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.train",
        description="Train one worker's share of a recipe, export, and measure.",
    )
    output = Path(environ.get(OUTPUT_VARIABLE, "output"))
    parser.add_argument("--recipe", required=True, help="one of: " + ", ".join(sorted(RECIPES)))
    parser.add_argument(
        "--output", type=Path, default=output, help="folder for model, golden inputs and metrics"
    )
    parser.add_argument(
        "--checkpoints",
        default=environ.get(CHECKPOINTS_VARIABLE),
        help="folder on storage that all workers share (default: checkpoints in the output folder)",
    )
    parser.add_argument("--epochs", type=int, default=0, help="0: as many as the recipe says")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and augmentation")
    parser.add_argument("--start", type=Path, help="ONNX file whose weights to begin with")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=float(environ.get(CHECKPOINT_SECONDS_VARIABLE, "600"))
    )
    parser.add_argument("--checkpoint-steps", type=int, default=0, help="0: only the clock decides")
    parser.add_argument("--exporter", choices=get_args(Exporter), default="legacy")
    parser.add_argument(
        "--processes", type=int, default=0, help="processes of this worker; 0: one for each GPU"
    )
    given = parser.parse_args(argv)
    given.checkpoints = Path(given.checkpoints or given.output / "checkpoints")
    return Options(**vars(given))
