"""A Job of tiers.yaml -> what each worker runs on this machine, with the environment that it would have in a pod.

The variables are those of Volcano's plugins env (VC_TASK_INDEX and the older VK_TASK_INDEX), svc (VC_<TASK>_HOSTS,
VC_<TASK>_NUM) and pytorch (MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK), plus PET_… for torchrun and our own folders:
the same names as `render.gang` gives, on loopback. Source: volcano-sh/volcano v1.15, pkg/controllers/job/plugins.
Flow: topology.load -> `plan_local` -> `workers` (once per attempt) -> gang.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import JobError, UsageError
from toolkit.jobs.known import require_job
from toolkit.render.gang import TASK
from toolkit.topology.job import Job, Retry
from toolkit.topology.secret import SecretReference
from toolkit.topology.topology import Topology
from toolkit.wire.job import (
    CHECKPOINT_SECONDS_VARIABLE,
    CHECKPOINTS_VARIABLE,
    DATA_VARIABLE,
    OUTPUT_VARIABLE,
)

LOOPBACK = "127.0.0.1"
LONGEST_LOCAL_GRACE = 30.0
"""Seconds that a worker gets at most between SIGTERM and SIGKILL here; somebody is waiting at a terminal."""


@dataclass(frozen=True)
class JobFolder:
    """Where a local job keeps its files: `output`, `checkpoints` and `data` for the workers, `logs` from them."""

    root: Path

    @property
    def output(self) -> Path:
        """Folder of the artifact."""
        return self.root / "output"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints; kept between attempts and between calls, so that a job goes on."""
        return self.root / "checkpoints"

    @property
    def data(self) -> Path:
        """Folder that stands for the staged data."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        """Folder with one folder for each attempt."""
        return self.root / "logs"

    @property
    def attempts(self) -> tuple[int, ...]:
        """Numbers of the attempts that have logs, of this call and of earlier ones."""
        return numbered(self.logs, r"attempt-(\d+)")

    def ranks(self, attempt: int) -> tuple[int, ...]:
        """Ranks that have a log in an attempt."""
        return numbered(self.logs / f"attempt-{attempt}", r"rank-(\d+)\.log")

    def log(self, attempt: int, rank: int) -> Path:
        """Return the log of one worker in one attempt."""
        return self.logs / f"attempt-{attempt}" / f"rank-{rank}.log"


def numbered(folder: Path, pattern: str) -> tuple[int, ...]:
    """Return the numbers in the names of a folder's entries that are `pattern` with one group, in order."""
    if not folder.is_dir():
        return ()
    found = (re.fullmatch(pattern, path.name) for path in folder.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


@dataclass(frozen=True)
class Worker:
    """One process of the gang: what it runs, with which environment, and where its output goes."""

    rank: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True)
class LocalJob:
    """A job as it will run on this machine; the same for all attempts. `grace` in seconds."""

    name: str
    command: tuple[str, ...]
    size: int
    folder: JobFolder
    environment: Mapping[str, str]
    retry: Retry
    grace: float


def plan_local(
    topology: Topology,
    name: str,
    *,
    root: Path,
    environ: Mapping[str, str],
    workers: int | None = None,
) -> LocalJob:
    """Return how a job of tiers.yaml runs here.

    Args:
        topology: the site.
        name: the job's name in it.
        root: folder below which the job gets a folder of its own.
        environ: the caller's environment; workers inherit it.
        workers: another number of workers than tiers.yaml says, because this machine is smaller.

    Raises:
        UsageError: there is no such job, or a secret of it cannot be read here.
        JobError: its command is not on this machine.

    """
    require_job(topology, name)
    job = topology.jobs[name]
    size = job.gang.workers if workers is None else workers
    if size < 1:
        raise UsageError(
            f"a gang of {size} workers cannot run", hint=f"tiers job submit {name} --local --workers 2"
        )
    folder = JobFolder((root / name).absolute())
    environment = dict(_base(environ, size)) | dict(_folders(job, folder)) | dict(_own(name, job, environ))
    return LocalJob(
        name=name,
        command=_found(name, job.run, environment),
        size=size,
        folder=folder,
        environment=environment,
        retry=job.retry,
        grace=min(job.grace.seconds, LONGEST_LOCAL_GRACE),
    )


def workers(job: LocalJob, *, attempt: int, port: int) -> tuple[Worker, ...]:
    """Return the gang of one attempt.

    Args:
        job: what `plan_local` gave.
        attempt: counts from 1.
        port: free TCP port on loopback where rank 0 will listen.

    """
    return tuple(
        Worker(
            rank=rank,
            command=job.command,
            environment=dict(job.environment) | gang_environment(rank, job.size, port),
            log=job.folder.log(attempt, rank),
        )
        for rank in range(job.size)
    )


def gang_environment(rank: int, size: int, port: int) -> dict[str, str]:
    """Return what Volcano's plugins would tell worker `rank` of `size`, all of them on loopback."""
    task = TASK.upper().replace("-", "_")
    return {
        "VC_TASK_INDEX": str(rank),
        "VK_TASK_INDEX": str(rank),
        f"VC_{task}_HOSTS": ",".join([LOOPBACK] * size),
        f"VC_{task}_NUM": str(size),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(size),
        "RANK": str(rank),
        "PET_NNODES": str(size),
        "PET_NODE_RANK": str(rank),
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": LOOPBACK,
        "PET_MASTER_PORT": str(port),
    }


def _base(environ: Mapping[str, str], size: int) -> Iterator[tuple[str, str]]:
    yield from environ.items()
    # `python` in a job's command is the one that runs tiers, also when its environment is not activated.
    yield "PATH", os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    yield "PYTHONUNBUFFERED", "1"  # a worker that dies has said everything
    yield "CUDA_VISIBLE_DEVICES", ""  # several workers on one machine: they share its cores, not a GPU
    if "OMP_NUM_THREADS" not in environ:
        yield "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // size))


def _folders(job: Job, folder: JobFolder) -> Iterator[tuple[str, str]]:
    yield OUTPUT_VARIABLE, str(folder.output)
    yield CHECKPOINTS_VARIABLE, str(folder.checkpoints)
    if job.checkpoints:
        yield CHECKPOINT_SECONDS_VARIABLE, f"{job.checkpoints.every.seconds:g}"
    if job.data:
        yield DATA_VARIABLE, str(folder.data)


def _own(name: str, job: Job, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give the variables of `env` in tiers.yaml, with the secrets that can be read on this machine."""
    for key in sorted(job.env):
        value = job.env[key]
        yield key, value if isinstance(value, str) else _secret(f"jobs.{name}.env.{key}", key, value, environ)


def _secret(place: str, key: str, reference: SecretReference, environ: Mapping[str, str]) -> str:
    if reference.file is not None:
        try:
            return Path(reference.file).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{place}: cannot read {reference.file}: {error}") from error
    wanted = (
        reference.env or key
    )  # a Secret of the cluster is out of reach here: the variable itself may stand for it
    if wanted not in environ:
        kept = (
            f"the Secret {reference.secret} of the cluster"
            if reference.secret
            else f"${wanted}, which is not set"
        )
        raise UsageError(f"{place} is kept in {kept}", hint=f"export {wanted}=…, then submit again")
    return environ[wanted]


def _found(name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command with its program's full path, looked for before any worker is started."""
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise JobError(
            f"job {name} cannot start: there is no program {command[0]!r} on this machine; nothing was started",
            hint=f"look at `run:` with: tiers explain jobs.{name}.run",
        )
    return (program, *command[1:])
