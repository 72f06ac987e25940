"""One process for each GPU of this machine. Volcano's pytorch plugin counts pods, PyTorch counts processes.

A worker with n GPUs starts n processes of itself: WORLD_SIZE and RANK are multiplied by n, LOCAL_RANK is added. Under
torchrun LOCAL_RANK is set already and nothing is started. Flow: train -> `spread` -> n times train.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from types import FrameType

import torch

from cloud_jobs.gang import place_of
from toolkit.errors import UsageError


def processes_here(wanted: int, environ: Mapping[str, str]) -> int:
    """Return how many processes this worker should be: `wanted`, or if that is 0 one for each GPU, at least one."""
    if "LOCAL_RANK" in environ:
        return 1
    return wanted or max(1, torch.cuda.device_count())


def environments(environ: Mapping[str, str], count: int) -> list[dict[str, str]]:
    """Return the environment of each of `count` processes of this worker.

    Raises:
        UsageError: the worker's own place is not complete.

    """
    place = place_of(environ)
    if not place.port:
        raise UsageError(
            f"{count} processes need MASTER_ADDR and MASTER_PORT to find each other",
            hint="torchrun --nproc-per-node "
            f"{count} -m cloud_jobs.train …, or start the gang with: tiers job submit JOB --local",
        )
    return [
        dict(environ)
        | {
            "WORLD_SIZE": str(place.world_size * count),
            "RANK": str(place.rank * count + local),
            "LOCAL_RANK": str(local),
        }
        for local in range(count)
    ]


def spread(argv: Sequence[str], environ: Mapping[str, str], count: int) -> int:
    """Run `count` processes and return the first exit code that is not 0, or 0.

    SIGTERM is passed on. When one process fails the others are told to leave: without it they would wait for ever.
    """
    command = [sys.executable, "-m", "cloud_jobs.train", *argv]
    running = [subprocess.Popen(command, env=each) for each in environments(environ, count)]

    def tell_all(signum: int = signal.SIGTERM, frame: FrameType | None = None) -> None:  # noqa: ARG001
        for process in running:
            if process.poll() is None:
                process.send_signal(signum)

    before = signal.signal(signal.SIGTERM, tell_all)
    ended: SimpleQueue[int] = SimpleQueue()
    for process in running:
        Thread(target=lambda each=process: ended.put(each.wait()), daemon=True).start()
    first_failure = 0
    try:
        for _ in running:
            code = ended.get()
            code = 128 - code if code < 0 else code  # a death by signal, as shells and pods count it
            if code and not first_failure:
                first_failure = code
                tell_all()
    finally:
        signal.signal(signal.SIGTERM, before)
    return first_failure
