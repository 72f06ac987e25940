"""Bring a job's data to the tier where it will run: `python -m cloud_jobs.stage TASKS.json`.

Flow: the rendered part `stage` of a job runs this before its gang is admitted, so no GPU waits; `cloud_jobs.pin` then
keeps what came. The last task of the file leads to the job's tier; those before it bring back what has been archived
meanwhile (`toolkit.sync.recall`), and one whose source has nothing of it is passed over. One line of JSON a hop; run
it again to go on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.errors import TiersError, UsageError
from toolkit.sync.recall import recall
from toolkit.sync.task import read_tasks


def main(argv: Sequence[str]) -> int:
    """Stage; give the exit code of the worst hop.

    Raises:
        UsageError: the file cannot be read or has no task.
        SyncError: no tier on the way holds the data.
        RemoteUnavailableError: one of them does not answer, so that nobody knows whether it holds a part.
        IntegrityError: the tasks or what a storage says of itself were damaged.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.stage", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("tasks", type=Path, help="JSON array of sync tasks, the one to the job's tier last")
    given = parser.parse_args(argv)
    tasks = read_tasks(given.tasks)
    if not tasks:
        raise UsageError(f"{given.tasks} has no task", hint="render it again")
    staged = recall(tasks, tasks[-1].targets[0].tier)
    for hop in staged.hops:
        done = {
            "route": hop.route,
            "exit_code": hop.exit_code,
            "files": hop.files,
            "bytes_moved": hop.bytes_moved,
            "seconds": round(hop.seconds, 3),
            "errors": [target.error for target in hop.targets if target.error],
        }
        print(msgspec.json.encode(done).decode(), flush=True)
    return staged.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TiersError as error:
        print(f"error: {error.message}; {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
