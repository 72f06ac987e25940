"""What a recipe says: everything that decides the outcome of a run except the seed and the number of workers.

Flow: recipes.<name>() -> Config -> trainer, export, metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Generator, Tensor, nn

from cloud_jobs.datasets.split import Split

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits, truth) -> mean loss of the batch, a scalar."""

Score = Callable[[Tensor, Tensor], Tensor]
"""(logits, truth) -> one score per sample, 0 (wrong) to 1 (right)."""

Augment = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
"""(samples, truth, generator) -> changed samples and truth; all chance comes from the generator."""


@dataclass(frozen=True)
class Config:
    """One training run. `batch` counts samples over all workers, so that their number does not change the recipe."""

    recipe: str
    data: Callable[[], Split]
    model: Callable[[], nn.Module]
    loss: Loss
    score: Score
    metric: str
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    warm_up_steps: int
    augment: Augment | None = None
    trained_parts: tuple[str, ...] = ()
    """Prefixes of the parameters that move, such as `head.`; empty: all of them."""
    needs_start: bool = False
    """True if the run begins from the weights of an earlier ONNX file."""
    cpu_threads: int = 1
    """Threads of one worker on CPU; part of the recipe because it can change the order of sums."""
