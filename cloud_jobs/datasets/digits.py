"""Real images that ship inside a package: scikit-learn's 1797 scanned digits, 8 x 8 grey values.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (test part), as
`sklearn.datasets.load_digits`. Nothing is downloaded. Flow: recipes.digits -> `digits_split` -> trainer.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cloud_jobs.datasets.split import Split

HELD_OUT = 200
"""How many images are never trained on; the same 200 are carried in examples/models/digits."""

SPLIT_SEED = 2026
"""Seed of the split. Fixed, and apart from the training seed, so that no run ever sees a held-out image."""

BRIGHTEST = 16.0
"""Grey values count from 0 to 16; the model sees them as 0 to 1."""


def digits_split() -> Split:
    """Return 1597 images to train on and 200 held out, about as many of each digit; float32 [N, 1, 8, 8]."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels / BRIGHTEST, dtype=torch.float32).reshape(-1, 1, 8, 8)
    truth = torch.tensor(labels, dtype=torch.int64)
    train, held_out = train_test_split(
        range(len(truth)), test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=labels
    )
    return Split(images[train], truth[train], images[held_out], truth[held_out])
