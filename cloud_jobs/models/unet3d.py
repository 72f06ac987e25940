"""A small 3-D U-Net: down once to see far, up again to see sharply, and a skip that keeps the edges.

Source of the shape: Çiçek et al., "3D U-Net", MICCAI 2016, cut to one level. No normalisation layers, as in
digits_cnn. Flow: recipes.seg3d -> UNet3d -> trainer -> export.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 8


class UNet3d(nn.Module):
    """Volumes [N, 1, D, H, W] with even edges -> logits [N, 1, D, H, W], above 0 inside the lesion."""

    def __init__(self) -> None:
        """Make the layers; the weights come from torch's global generator, which the trainer seeds."""
        super().__init__()
        self.fine = _two_convolutions(1, WIDTH)
        self.down = nn.MaxPool3d(2)
        self.coarse = _two_convolutions(WIDTH, 2 * WIDTH)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.join = _two_convolutions(3 * WIDTH, WIDTH)
        self.head = nn.Conv3d(WIDTH, 1, kernel_size=1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return one logit per voxel."""
        fine = self.fine(volumes)
        coarse = self.up(self.coarse(self.down(fine)))
        logits: Tensor = self.head(self.join(torch.cat([fine, coarse], dim=1)))
        return logits


def _two_convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels_in, channels_out, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv3d(channels_out, channels_out, kernel_size=3, padding=1),
        nn.ReLU(),
    )
