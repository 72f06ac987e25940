"""What BentoML's worker runs; `bentoml_server` starts it."""

from __future__ import annotations

import base64
import os

import bentoml
import numpy as np

from benchmarks.asking.servers.bentoml_server import ARGUMENTS
from benchmarks.asking.servers.session import Model

GIVEN = os.environ[ARGUMENTS].split("\n")


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1000})  # type: ignore[untyped-decorator]
class Service:
    """One model."""

    def __init__(self) -> None:
        """Load it in the worker."""
        self.model = Model(GIVEN)

    @bentoml.api(batchable=True, max_batch_size=int(GIVEN[1]), max_latency_ms=30_000)  # type: ignore[untyped-decorator]
    def predict(self, images: list[str]) -> np.ndarray:
        """Give the scores of a batch."""
        return self.model.run(np.stack([self.model.image(base64.b64decode(each)) for each in images]))
