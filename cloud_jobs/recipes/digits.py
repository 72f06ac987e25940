"""Digits: a small network from nothing, and its head fine-tuned on a frozen body.

Flow: `--recipe digits` or `--recipe digits_head` -> Config -> trainer.
"""

from __future__ import annotations

from cloud_jobs.datasets.digits import digits_split
from cloud_jobs.models.digits_cnn import DigitsCnn
from cloud_jobs.recipes.augment import shift_by_one
from cloud_jobs.recipes.config import Config
from cloud_jobs.recipes.losses import cross_entropy, right_class


def digits() -> Config:
    """Train the whole network from nothing: about 99 % on the held-out images in seconds on two cores."""
    return Config(
        recipe="digits",
        data=digits_split,
        model=DigitsCnn,
        loss=cross_entropy(label_smoothing=0.0),
        score=right_class,
        metric="accuracy",
        epochs=30,
        batch=32,
        learning_rate=4e-3,
        weight_decay=1e-2,
        warm_up_steps=50,
        augment=shift_by_one,
    )


def digits_head() -> Config:
    """Fine-tune the head of an earlier model and leave its body alone, byte for byte.

    Only the last 650 weights move, so a device that has the earlier model needs a small part of the new file.
    """
    return Config(
        recipe="digits_head",
        data=digits_split,
        model=DigitsCnn,
        loss=cross_entropy(label_smoothing=0.05),
        score=right_class,
        metric="accuracy",
        epochs=20,
        batch=64,
        learning_rate=1e-2,
        weight_decay=1e-3,
        warm_up_steps=20,
        trained_parts=("head.",),
        needs_start=True,
    )
