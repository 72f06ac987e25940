"""Nearly everything in this folder needs PyTorch; and a small recipe that trains in a blink, in this process."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WITHOUT_TORCH = frozenset({"test_sync_agent.py"})
"""Files of tests for what runs on machines without PyTorch."""


def _needs_torch(path: Path) -> bool:
    return HERE in path.parents and path.name not in WITHOUT_TORCH


class ModuleWithoutTorch(pytest.Module):
    """A file of tests that cannot even be imported here: one visible skip, which CI turns into a failure."""

    def collect(self):
        """Say what brings it."""
        pytest.skip("torch is missing; to bring it: make test-all", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Do not import what would import PyTorch when there is none."""
    if _needs_torch(module_path) and find_spec("torch") is None:
        return ModuleWithoutTorch.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items):
    """Mark the tests, so that `-m 'not torch'` leaves them out."""
    for item in items:
        if _needs_torch(item.path):
            item.add_marker(pytest.mark.torch)


@pytest.fixture
def small():
    """Give a recipe with 24 samples of 8 x 8 pixels, 4 epochs, 12 steps; all chance that the trainer has is in use."""
    import torch

    from cloud_jobs.datasets.split import Split
    from cloud_jobs.models.digits_cnn import DigitsCnn
    from cloud_jobs.recipes.augment import shift_by_one
    from cloud_jobs.recipes.config import Config
    from cloud_jobs.recipes.losses import cross_entropy, right_class

    def data():
        truth = torch.arange(32) % 2  # lying and standing stripes
        lying = (torch.arange(8) % 2).float().expand(8, 8)
        noise = torch.rand(32, 8, 8, generator=torch.Generator().manual_seed(0))
        images = (torch.where(truth[:, None, None] == 0, lying, lying.T) + noise)[:, None]
        return Split(images[:24], truth[:24], images[24:], truth[24:])

    return Config(
        recipe="small",
        data=data,
        model=DigitsCnn,
        loss=cross_entropy(0.0),
        score=right_class,
        metric="accuracy",
        epochs=4,
        batch=8,
        learning_rate=1e-2,
        weight_decay=1e-2,
        warm_up_steps=2,
        augment=shift_by_one,
    )


@pytest.fixture
def gang():
    """Give a gang of one."""
    from cloud_jobs.gang import Place, join

    with join(Place()) as joined:
        yield joined
