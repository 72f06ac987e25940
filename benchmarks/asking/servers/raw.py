"""No server: ONNX Runtime in a loop, told on standard input how many images a call and how long.

python -m benchmarks.asking.servers.raw MODEL MAX_BATCH DTYPE AXES
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks.asking.servers.session import Model


def main() -> None:
    """Run loops until standard input ends; each prints the seconds of its calls."""
    model = Model()
    draw = np.random.default_rng(0)
    print("ready raw", flush=True)
    for line in sys.stdin:
        rows, seconds = json.loads(line)
        images = (draw.random((rows, *model.shape)) * 255).astype(model.dtype)
        times, until = list[float](), time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            model.run(images)
            times.append(time.perf_counter() - began)
        print(json.dumps(sorted(times)), flush=True)


if __name__ == "__main__":
    main()
