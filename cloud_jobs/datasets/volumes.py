"""Synthetic volumes with a lesion to find: for trying a 3-D segmentation gang where no patient's data may be.

Each volume is noise with a few ellipsoids; one of them is brighter than the others by little: that one is the lesion.
All chance comes from one seed; nothing is downloaded. Flow: recipes.seg3d -> `volumes_split` -> trainer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cloud_jobs.datasets.split import Split

SIZE = 16
"""Voxels along each edge."""
TRAINED, HELD_OUT = 192, 48
VOLUMES_SEED = 2026
ORGANS = 2
ORGAN_BRIGHTNESS, LESION_BRIGHTNESS, NOISE = 0.5, 1.0, 0.25


def volumes_split() -> Split:
    """Return volumes float32 [N, 1, 16, 16, 16] and masks int64 [N, 16, 16, 16], 1 inside the lesion."""
    chance = torch.Generator().manual_seed(VOLUMES_SEED)
    made = [_volume(chance) for _ in range(TRAINED + HELD_OUT)]
    volumes = torch.stack([volume for volume, _ in made])[:, None]
    masks = torch.stack([mask for _, mask in made])
    return Split(volumes[:TRAINED], masks[:TRAINED], volumes[TRAINED:], masks[TRAINED:])


def _volume(chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return one volume and its mask; where the lesion crosses an organ it lies in front."""
    volume = NOISE * torch.randn(SIZE, SIZE, SIZE, generator=chance)
    for _ in range(ORGANS):
        volume += ORGAN_BRIGHTNESS * _ellipsoid(chance).float()
    lesion = _ellipsoid(chance)
    noise = NOISE * torch.randn(SIZE, SIZE, SIZE, generator=chance)
    return torch.where(lesion, LESION_BRIGHTNESS + noise, volume), lesion.long()


def _ellipsoid(chance: torch.Generator) -> Tensor:
    """Return a filled ellipsoid with half-axes of 2 to 5 voxels, wholly inside."""
    axes = 2 + 3 * torch.rand(3, generator=chance)
    centre = axes + (SIZE - 1 - 2 * axes) * torch.rand(3, generator=chance)
    grid = torch.stack(torch.meshgrid(*[torch.arange(SIZE)] * 3, indexing="ij"), dim=-1)
    inside: Tensor = (((grid - centre) / axes) ** 2).sum(dim=-1) <= 1
    return inside
