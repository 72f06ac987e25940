"""3-D segmentation: find a lesion in synthetic volumes with a small U-Net, measured by Dice.

Small enough for two cores; the gang in tiers.yaml runs the same recipe on GPUs.
Flow: `--recipe seg3d` -> Config -> trainer.
"""

from __future__ import annotations

from cloud_jobs.datasets.volumes import volumes_split
from cloud_jobs.models.unet3d import UNet3d
from cloud_jobs.recipes.config import Config
from cloud_jobs.recipes.losses import dice, voxel_loss


def seg3d() -> Config:
    """Train the U-Net from nothing."""
    return Config(
        recipe="seg3d",
        data=volumes_split,
        model=UNet3d,
        loss=voxel_loss,
        score=dice,
        metric="dice",
        epochs=12,
        batch=8,
        learning_rate=5e-3,
        weight_decay=1e-3,
        warm_up_steps=20,
    )
