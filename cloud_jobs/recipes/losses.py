"""Losses and scores that recipes choose from; each a plain function of logits and truth.

Flow: a recipe -> Config.loss and Config.score -> trainer.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional

from cloud_jobs.recipes.config import Loss


def cross_entropy(label_smoothing: float) -> Loss:
    """Return the cross-entropy of classes; `label_smoothing` (0 to 1) keeps the head from over-confidence."""
    return partial(functional.cross_entropy, label_smoothing=label_smoothing)


def right_class(logits: Tensor, truth: Tensor) -> Tensor:
    """Score 1 where the largest logit names the true class, else 0. The mean is the accuracy."""
    return (logits.argmax(dim=1) == truth).float()
