"""Have files there when a worker reads them: `python -m cloud_jobs.prefetch TASKS.json --ahead 4 --budget 20000000000`.

Flow: a worker whose data are larger than its tier has this beside itself instead of staging everything; `bring: ahead`
in tiers.yaml renders it with --socket as a container of the worker's pod, and `cloud_jobs.reads` asks it there. Without
--socket it reads a path a line from its input, answers a line of JSON each when the file is there, and ends with its
input; with it, on SIGTERM. `toolkit.sync.prefetch` looks ahead in between. The last task of the file is the one to the
job's tier.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from cloud_jobs.interrupt import on_sigterm
from toolkit.errors import TiersError, UsageError
from toolkit.sync.listen_reads import listening
from toolkit.sync.prefetch import Prefetcher
from toolkit.sync.serve_reads import Answer, serve_reads
from toolkit.sync.task import SyncTask, check_task, read_tasks

_LOOK_UP_SECONDS = 0.2


def main(argv: Sequence[str], lines: Iterable[bytes]) -> int:
    """Answer until the lines end or SIGTERM; give the exit code of the worst answer of a pipe, else 0.

    Raises:
        UsageError: the file cannot be read or has no task, the task's target keeps packs, or nobody can listen there.
        RemoteUnavailableError: the source does not answer.
        IntegrityError: the tasks were damaged, or the reader's name is none.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.prefetch", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("tasks", type=Path, help="JSON array of sync tasks, the one to the job's tier last")
    parser.add_argument("--ahead", type=int, default=4, help="how many files to look ahead")
    parser.add_argument("--budget", type=int, required=True, help="most bytes that nobody asked for yet")
    parser.add_argument(
        "--socket",
        type=Path,
        help="answer there; paths are below the task's path then, not below the storage",
    )
    parser.add_argument(
        "--reader", default="", help="which of several workers; each keeps an order of its own"
    )
    given = parser.parse_args(argv)
    tasks = read_tasks(given.tasks)
    if not tasks:
        raise UsageError(f"{given.tasks} has no task", hint="render it again")
    task = _of_reader(tasks[-1], given.reader)
    prefetcher = Prefetcher(task, ahead=max(0, given.ahead), budget_bytes=given.budget)
    worst = 0
    if given.socket is None:
        worst = serve_reads(prefetcher, lines, _tell, threading.Event())
    else:
        with on_sigterm() as interrupt, listening(prefetcher, given.socket, below=task.path.encode()):
            pause = threading.Event()
            while not interrupt.asked:
                pause.wait(_LOOK_UP_SECONDS)
    print(msgspec.json.encode({"done": prefetcher.close()}).decode(), flush=True)
    return worst


def _of_reader(task: SyncTask, reader: str) -> SyncTask:
    """Give the task a name for each worker: so they do not wait for each other, and each learns its own order."""
    if not reader:
        return task
    return check_task(msgspec.structs.replace(task, route=f"{task.route}-{reader}"), what=f"reader {reader}")


def _tell(answer: Answer) -> None:
    print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:], sys.stdin.buffer)
    except TiersError as error:
        print(f"error: {error.message}; {error.hint}", file=sys.stderr)
        code = error.exit_code
    # A file may still be on its way in a thread; the next run goes on with it, nobody waits for it now.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
