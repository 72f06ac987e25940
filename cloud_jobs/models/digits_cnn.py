"""A small convolutional network for 8 x 8 grey images: a body that finds features and a head that names the digit.

No normalisation layers: a frozen body then has no running statistics that could drift, and ONNX keeps every tensor
under its own name, so that a fine-tuned head leaves the bytes of the body as they are.
Flow: recipes.digits -> DigitsCnn -> trainer -> export.
"""

from __future__ import annotations

from torch import Tensor, nn

CLASSES = 10
FEATURES = 64


class DigitsCnn(nn.Module):
    """Images [N, 1, 8, 8] with values 0 to 1 -> logits [N, 10]. `body` holds 99 % of the 56 394 weights."""

    def __init__(self) -> None:
        """Make the layers; the weights come from torch's global generator, which the trainer seeds."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, FEATURES, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit per digit."""
        features: Tensor = self.body(images)
        logits: Tensor = self.head(features)
        return logits
