"""Losses and scores that recipes choose from; each a plain function of logits and truth.

Flow: a recipe -> Config.loss and Config.score -> trainer.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from cloud_jobs.recipes.config import Loss

INSIDE = 0.0
"""A voxel with a logit above this is taken to be inside."""


def cross_entropy(label_smoothing: float) -> Loss:
    """Return the cross-entropy of classes; `label_smoothing` (0 to 1) keeps the head from over-confidence."""
    return partial(functional.cross_entropy, label_smoothing=label_smoothing)


def right_class(logits: Tensor, truth: Tensor) -> Tensor:
    """Score 1 where the largest logit names the true class, else 0. The mean is the accuracy."""
    return (logits.argmax(dim=1) == truth).float()


def voxel_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return cross-entropy per voxel plus 1 - soft Dice, means of the batch; logits [N, 1, ...], masks [N, ...].

    The second term keeps a small lesion from being drowned by the many voxels around it.
    Source: Milletari et al., "V-Net", 3DV 2016, eq. 3.
    """
    truth = masks.float()
    chances = logits[:, 0].sigmoid()
    shared = (chances * truth).flatten(1).sum(dim=1)
    both = (chances + truth).flatten(1).sum(dim=1)
    soft_dice = (2 * shared + 1) / (both + 1)
    return functional.binary_cross_entropy_with_logits(logits[:, 0], truth) + (1 - soft_dice).mean()


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Score each sample by 2 |A and B| / (|A| + |B|), where A is found and B is true; 1 where both are empty."""
    found, truth = (logits[:, 0] > INSIDE).flatten(1), (masks > 0).flatten(1)
    both = found.sum(dim=1) + truth.sum(dim=1)
    return torch.where(both > 0, 2 * (found & truth).sum(dim=1) / both.clamp(min=1), 1.0)
