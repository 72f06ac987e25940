"""Small changes to training samples, so that the network learns the shape and not the place.

All chance comes from the generator that the trainer makes from seed and step: a resumed run sees the same changes.
Flow: a recipe -> Config.augment -> trainer.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

MOVED_SHARE = 0.5
"""Share of samples that are moved."""


def shift_by_one(samples: Tensor, truth: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Move about half of the images [N, C, H, W] by up to one pixel; what moves in from outside is dark."""
    count, _, height, width = samples.shape
    padded = functional.pad(samples, (1, 1, 1, 1))
    down = torch.randint(0, 3, (count,), generator=generator)
    right = torch.randint(0, 3, (count,), generator=generator)
    moves = torch.rand(count, generator=generator) < MOVED_SHARE
    down, right = torch.where(moves, down, 1), torch.where(moves, right, 1)
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    sample = torch.arange(count)[:, None, None, None]
    channel = torch.arange(samples.shape[1])[None, :, None, None]
    return padded[sample, channel, rows, columns], truth
