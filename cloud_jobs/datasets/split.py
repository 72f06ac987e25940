"""The one shape of a data set: what may be trained on, and what must never be.

Flow: datasets.digits or datasets.volumes -> Split -> trainer.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Samples and their truth; the first dimension counts samples. `held_out` is only ever scored."""

    samples: Tensor
    truth: Tensor
    held_out_samples: Tensor
    held_out_truth: Tensor
