"""Keep data that was staged for a job, or let it go: `python -m cloud_jobs.pin TASKS.json --for FLOW-JOB-stage`.

Flow: `cloud_jobs.sync_agent --once` stages data, this pins it, the gang works, this with --release lets it go. Who
holds the pin is the name of the Job that Volcano made, without its last part: so the parts `stage` and `unpin` of one
run of a flow mean the same, and another flow that needs the same data has a pin of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.errors import TiersError
from toolkit.sync.pins import pin, release
from toolkit.sync.task import read_tasks


def main(argv: Sequence[str]) -> int:
    """Pin or release what the last task has brought to each of its targets; one line of JSON a target.

    Raises:
        UsageError: the file cannot be read.
        SyncError: a task has brought nothing yet.
        IntegrityError, RemoteUnavailableError: as `toolkit.sync.pins`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.pin", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("tasks", type=Path, help="JSON array of sync tasks")
    parser.add_argument("--for", dest="job", required=True, metavar="JOB", help="name of the pod's Job")
    parser.add_argument("--release", action="store_true", help="let the data go")
    given = parser.parse_args(argv)
    holder = given.job.rpartition("-")[0] or given.job
    for task in read_tasks(given.tasks)[-1:]:  # those before it only fed it
        for place in task.targets:
            done: dict[str, object] = {"route": task.route, "target": place.url, "holder": holder}
            if given.release:
                done |= {"released": release(task, place, holder)}
            else:
                done |= {"pinned": pin(task, place, holder).digest}
            print(msgspec.json.encode(done).decode(), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TiersError as error:
        print(f"error: {error.message}; {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
