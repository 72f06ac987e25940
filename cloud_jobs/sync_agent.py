"""Run the routes that begin in a tier, each in its own time: `python -m cloud_jobs.sync_agent TASKS.json`.

Flow: `toolkit.routes` makes SyncTasks of tiers.yaml, the rendered pod mounts them as one JSON array, this agent hands
them one after the other to `toolkit.sync.run`. A run that fails is tried again when it is due again; nothing is lost
by ending the agent at any moment, because every run goes on where the last one stopped. One line of JSON a run.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from toolkit.errors import TiersError
from toolkit.sync.result import SyncResult
from toolkit.sync.run import run_task
from toolkit.sync.schedule import Schedule
from toolkit.sync.task import SyncTask, read_tasks

if TYPE_CHECKING:
    from cloud_jobs.sync_metrics import SyncMetrics

log = logging.getLogger("tiers.sync_agent")


def run_one(task: SyncTask, write: Callable[[str], object], metrics: SyncMetrics | None = None) -> int:
    """Carry out a task, write one line of JSON about it, and give its exit code; an error is not passed on."""
    try:
        result = run_task(task)
    except TiersError as error:
        if metrics is not None:
            metrics.broke_off(task)
        log.error("route %s: %s; %s", task.route, error.message, error.hint)  # noqa: TRY400 -- the message says it all
        write(_line({"route": task.route, "exit_code": error.exit_code, "error": error.message}))
        return error.exit_code
    if metrics is not None:
        metrics.ended(result)
    write(_line(_shortly(result)))
    for target in result.targets:
        if target.error:
            log.error("route %s: %s; %s", task.route, target.error, target.hint)
    return result.exit_code


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or Ctrl-C, or once with --once; give the exit code: the worst one of --once, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.sync_agent", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("tasks", type=Path, help="JSON array of sync tasks")
    parser.add_argument("--once", action="store_true", help="run each scheduled task once and end")
    parser.add_argument("--metrics", metavar="HOST:PORT", default="", help="answer Prometheus there")
    parser.add_argument("--certificate", type=Path, help="PEM for TLS of --metrics")
    parser.add_argument("--key", type=Path, help="PEM of its key")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    tasks = read_tasks(given.tasks)
    if given.once:
        return max((run_one(task, _print) for task in tasks if task.trigger == "schedule"), default=0)
    metrics = _watched(tasks, given) if given.metrics else None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    schedule = Schedule(tasks, time.monotonic())
    while not stop.is_set():
        wait = schedule.wait(time.monotonic())
        if not stop.wait(wait):
            run_one(schedule.take(time.monotonic()), _print, metrics)
    return 0


def _watched(tasks: Iterable[SyncTask], given: argparse.Namespace) -> SyncMetrics:
    """Let Prometheus ask. Imported only here: an agent that nobody watches does without prometheus_client."""
    from cloud_jobs.sync_metrics import SyncMetrics, serve

    metrics = SyncMetrics(tasks)
    server = serve(metrics, given.metrics, given.certificate, given.key)
    log.info("figures for Prometheus on port %d", server.server_port)
    return metrics


def _shortly(result: SyncResult) -> dict[str, object]:
    return {
        "route": result.route,
        "exit_code": result.exit_code,
        "files": result.files,
        "bytes_read": result.bytes_read,
        "bytes_moved": result.bytes_moved,
        "bytes_saved": result.bytes_saved,
        "deleted": sum(target.deleted for target in result.targets),
        "removed": result.removed,
        "left": sum(len(target.problems) for target in result.targets) + len(result.problems),
        "seconds": round(result.seconds, 3),
    }


def _line(values: dict[str, object]) -> str:
    return msgspec.json.encode(values).decode()


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except TiersError as error:
        print(f"error: {error.message}", file=sys.stderr)
        code = error.exit_code
    # All is on the disk and all threads have ended. Taking the interpreter down piece by piece would take a tenth of
    # the time of a run that finds nothing to do.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
