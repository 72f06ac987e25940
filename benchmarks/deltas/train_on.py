"""Train a network for digits, train it on for one epoch with another seed, and export both as ONNX.

    python benchmarks/deltas/train_on.py FOLDER EPOCHS

Writes trained.onnx and tuned.onnx (fp32), trained16.onnx and tuned16.onnx (fp16) into FOLDER for `benchmarks/delta.py`.
The network is like that of the recipe `digits` (cloud_jobs) with three million weights instead of 56,394, because files
of a few chunks say nothing about patches. Needs the extra `train`.
"""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def network() -> nn.Module:
    """Make the network."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * 16, 1300),
        nn.ReLU(),
        nn.Linear(1300, 10),
    )


def train(model: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, rate: float, seed: int) -> None:
    """Train for some epochs with AdamW."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def export(model: nn.Module, folder: Path, name: str) -> None:
    """Write a network as fp32 and as fp16."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ending, kind in (("", torch.float32), ("16", torch.float16)):
            made, image = copy.deepcopy(model).to(kind), torch.zeros(2, 1, 8, 8, dtype=kind)
            torch.onnx.export(made, (image,), folder / f"{name}{ending}.onnx", dynamo=False, opset_version=18)


def main() -> None:
    """Train, export, train on, export."""
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target)
    model = network()
    train(model, images, labels, epochs=epochs, rate=1e-3, seed=1)
    export(model, folder, "trained")
    train(model, images, labels, epochs=1, rate=1e-4, seed=2)
    with torch.no_grad():
        print(f"accuracy on what it was trained on: {(model(images).argmax(1) == labels).float().mean():.3f}")
    export(model, folder, "tuned")


if __name__ == "__main__":
    main()
