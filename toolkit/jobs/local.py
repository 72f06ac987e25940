"""Run a job of tiers.yaml on this machine, as its gang would run in the cluster: `tiers job submit JOB --local`.

All workers start or none; when one fails the others are ended; the retry policy may start the whole gang again, and
workers go on from their checkpoints.  Flow: plan -> `run` -> gang (one per attempt) -> Finished with the artifact.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from toolkit.errors import IntegrityError, JobError
from toolkit.jobs.gang import End, Gang, LineListener
from toolkit.jobs.logs import last_lines
from toolkit.jobs.plan import LOOPBACK, JobFolder, LocalJob, workers
from toolkit.topology.job import Retry
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.job import METRICS_FILE, Metrics, decode_metrics

log = logging.getLogger(__name__)

_QUOTED_LINES = 10
"""How many last lines of a failed worker stand in the error."""

_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGKILL)
"""Signals that end a worker from outside: an operator, or the kernel when memory runs out. Here they mean `evicted`."""


@dataclass(frozen=True)
class Attempt:
    """One start of the gang. `cause` is why the next one was needed, empty for the last."""

    number: int
    seconds: float
    cause: str


@dataclass(frozen=True)
class Finished:
    """A job that ended well, and what it left. `metrics` is None for a job that writes none."""

    job: str
    workers: int
    seconds: float
    attempts: tuple[Attempt, ...]
    output: Path
    files: Mapping[str, Digest]
    """Path below `output` -> digest, for each file of the artifact."""
    logs: tuple[Path, ...]
    """Log of each rank in the last attempt."""
    metrics: Metrics | None


def run(job: LocalJob, *, listener: LineListener | None = None, fresh: bool = False) -> Finished:
    """Run a job to its end and return its artifact.

    Args:
        job: what `plan.plan_local` gave.
        listener: called with (rank, line) for everything the workers write.
        fresh: forget checkpoints, output and logs of earlier calls; without it the job goes on from them.

    Raises:
        JobError: it cannot start, runs already, or failed for good; no process of it is left.
        IntegrityError: the artifact is not what its metrics say.
        KeyboardInterrupt: Ctrl-C; the gang was ended, checkpoints are kept.

    """
    began = monotonic()
    attempts: list[Attempt] = []
    with _alone(job):
        if fresh:
            _forget(job.folder)
        job.folder.output.mkdir(parents=True, exist_ok=True)
        before = max(job.folder.attempts, default=0)
        while True:
            number, started = before + len(attempts) + 1, monotonic()
            failure = _attempt(job, number, listener)
            if failure is None:
                break
            cause = retry_cause(job.retry, failure)
            if not cause or len(attempts) >= job.retry.attempts:
                raise _failed(job, failure, number, len(attempts) + 1, cause)
            attempts.append(Attempt(number, monotonic() - started, cause))
            log.info("job %s: %s; the gang starts again", job.name, failure)
        attempts.append(Attempt(number, monotonic() - started, ""))
        files, metrics = _artifact(job.folder.output)
    return Finished(
        job=job.name,
        workers=job.size,
        seconds=monotonic() - began,
        attempts=tuple(attempts),
        output=job.folder.output,
        files=files,
        logs=tuple(job.folder.log(number, rank) for rank in range(job.size)),
        metrics=metrics,
    )


def summary(finished: Finished) -> list[tuple[str, str]]:
    """Return the short form of a finished job for people: what and value."""
    metrics = finished.metrics
    rows = [
        ("job", f"{finished.job}, {finished.workers} workers, {finished.seconds:.1f} s"),
        ("attempts", str(len(finished.attempts))),
    ]
    if metrics is not None:
        begun = f", resumed at step {metrics.resumed_at_step}" if metrics.resumed_at_step else ""
        rows.append(("recipe", f"{metrics.recipe}, seed {metrics.seed}, {metrics.steps} steps{begun}"))
        rows.append((metrics.metric, f"{metrics.score:.4f} on {metrics.held_out} held-out samples"))
    rows += [("file", str(finished.output / name)) for name in finished.files]
    rows += [("log", str(path)) for path in finished.logs]
    return rows


def retry_cause(retry: Retry, failure: End) -> str:
    """Return the cause in `retry.after` that this end is, empty when it is none: the job has then failed for good.

    The order is that of the rendered policies: exit codes, eviction, any failure.
    """
    causes = {(cause.kind, cause.exit_code): str(cause) for cause in retry.after}
    by_code = causes.get(("exit", failure.code), "")
    evicted = causes.get(("evicted", None), "") if failure.by_signal in _FROM_OUTSIDE else ""
    return by_code or evicted or causes.get(("failed", None), "")


def _attempt(job: LocalJob, number: int, listener: LineListener | None) -> End | None:
    """Run the gang once; return the end of the worker by which it failed, None when all ended well."""
    gang = Gang(listener)
    with _kept_port() as port:
        try:
            gang.start(workers(job, attempt=number, port=port))
            while (end := gang.next_end()) is not None:
                if not end.well:
                    return gang.ended_by(_FROM_OUTSIDE) or end
            return None
        finally:
            gang.stop(job.grace)


@contextmanager
def _kept_port() -> Iterator[int]:
    """Yield a TCP port on loopback that the kernel gives to nobody else, however long rank 0 takes to come to it.

    It is bound here and never listened on; with SO_REUSEADDR, which servers set (c10d too), rank 0 can listen on it.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((LOOPBACK, 0))
        yield int(keeper.getsockname()[1])


@contextmanager
def _alone(job: LocalJob) -> Iterator[None]:
    """Hold the job's folder; the kernel lets go of it when this process ends, however it ends."""
    job.folder.root.mkdir(parents=True, exist_ok=True)
    with (job.folder.root / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(
                f"job {job.name} runs already in {job.folder.root}",
                hint=f"tiers job logs {job.name} --root {job.folder.root.parent}",
            ) from error
        yield


def _forget(folder: JobFolder) -> None:
    for path in (folder.output, folder.checkpoints, folder.logs):
        if path.exists():
            shutil.rmtree(path)


def _artifact(output: Path) -> tuple[dict[str, Digest], Metrics | None]:
    """Name every file of the artifact and hold it against the metrics."""
    paths = sorted(path for path in output.rglob("*") if path.is_file())
    files = {path.relative_to(output).as_posix(): digest_of(path.read_bytes()) for path in paths}
    if METRICS_FILE not in files:
        return files, None
    path = output / METRICS_FILE
    metrics = decode_metrics(path.read_bytes(), what=str(path))
    for name, digest in metrics.files.items():
        if files.get(name) != digest:
            raise IntegrityError(
                f"{output / name} is not the file that {path} describes", hint="submit again with --fresh"
            )
    return files, metrics


def _failed(job: LocalJob, failure: End, attempt: int, tries: int, cause: str) -> JobError:
    """Say who failed, how, its last words, and what to type next."""
    path = job.folder.log(attempt, failure.rank)
    tried = f"after {tries} attempts" if tries > 1 else "at its first attempt"
    reason = "no attempts are left" if cause else "`retry.after` does not name this"
    lines = [f"job {job.name} failed for good {tried}: {failure}; {reason}. The other workers were ended."]
    lines += [f"    | {line}" for line in last_lines(path, _QUOTED_LINES)]
    lines.append(f"    log: {path}")
    return JobError(
        "\n".join(lines),
        hint=f"tiers job logs {job.name} --root {job.folder.root.parent} --rank {failure.rank}",
    )
