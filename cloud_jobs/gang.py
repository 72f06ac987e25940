"""One worker's place in its gang: who am I, where is everybody, how do we agree.

Flow: environment of the pytorch plugin -> `place_of` -> `join` -> trainer (gradients over the backend, votes over
gloo) -> the group is closed when the `with` ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from toolkit.errors import UsageError

MEETING_TIMEOUT = timedelta(minutes=10)
"""How long a worker waits for the others before it gives up (pods of one gang start seconds apart)."""


@dataclass(frozen=True)
class Place:
    """A worker's seat: `rank` of `world_size`, and where rank 0 listens. `local_rank` picks the GPU of this node."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0


def place_of(environ: Mapping[str, str]) -> Place:
    """Read the seat from RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and LOCAL_RANK.

    Without WORLD_SIZE the worker is alone. Names as in Volcano's pytorch plugin and in torchrun.

    Raises:
        UsageError: a variable is missing or is not a number that fits.

    """
    if "WORLD_SIZE" not in environ:
        return Place()
    numbers: dict[str, int] = {}
    for name in ("WORLD_SIZE", "RANK", "MASTER_PORT"):
        text = environ.get(name, "")
        if not text.isdigit():
            raise UsageError(
                f"{name}={text!r} is not a number, so this worker cannot find its gang",
                hint="start the gang with: tiers job submit JOB --local",
            )
        numbers[name] = int(text)
    rank, world_size = numbers["RANK"], numbers["WORLD_SIZE"]
    if rank >= world_size:
        raise UsageError(
            f"RANK={rank} is not below WORLD_SIZE={world_size}",
            hint="ranks count from 0: the last one is WORLD_SIZE - 1",
        )
    return Place(
        rank=rank,
        world_size=world_size,
        local_rank=int(environ.get("LOCAL_RANK", "0")),
        address=environ.get("MASTER_ADDR", "127.0.0.1"),
        port=numbers["MASTER_PORT"],
    )


class Gang:
    """A joined gang. `device` is where this worker computes; `backend` is gloo on CPU and NCCL on GPU."""

    def __init__(self, place: Place, device: torch.device, backend: str) -> None:
        """Keep the seat and open the group for votes. Must be called by all workers at once.

        Votes go through a gloo group of their own: they never wait for a GPU, and its threads end with `close`.
        Those of the gradients' group may still run when Python ends (DistributedDataParallel holds on to it); a vote
        is a tensor with a Python object, and a thread that frees one at that moment aborts the process.
        """
        self.place = place
        self.device = device
        self.backend = backend
        self._votes: dist.ProcessGroup | None = dist.new_group(backend="gloo")

    def close(self) -> None:
        """Leave the group for votes."""
        self._votes = None

    @property
    def is_first(self) -> bool:
        """True for the one worker that writes files and prints progress."""
        return self.place.rank == 0

    def largest(self, *values: int) -> tuple[int, ...]:
        """Return the element-wise maximum over all workers; everybody gets the same answer."""
        return tuple(int(value) for value in self._reduced(values, dist.ReduceOp.MAX))

    def total(self, *values: float) -> tuple[float, ...]:
        """Return the element-wise sum over all workers."""
        return tuple(self._reduced(values, dist.ReduceOp.SUM))

    def wait_for_all(self) -> None:
        """Return when every worker has come to this line."""
        dist.barrier(group=self._votes)

    def _reduced(self, values: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, op=operation, group=self._votes)
        return [float(value) for value in tensor]


@contextmanager
def join(place: Place) -> Iterator[Gang]:
    """Meet the other workers and hand out the gang; the process group is closed on the way out.

    A worker that is alone meets nobody but goes the same way, so that there is one code path.
    """
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", place.local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    backend = "nccl" if on_gpu else "gloo"
    store: dist.Store
    if place.world_size == 1:
        store = dist.HashStore()
    else:
        store = dist.TCPStore(
            place.address, place.port, place.world_size, is_master=place.rank == 0, timeout=MEETING_TIMEOUT
        )
    dist.init_process_group(
        backend, store=store, rank=place.rank, world_size=place.world_size, timeout=MEETING_TIMEOUT
    )
    try:
        gang = Gang(place, device, backend)
        try:
            yield gang
        finally:
            gang.close()
    finally:
        dist.destroy_process_group()
