"""Have a file there before training opens it: `open(ready("shard-000001.tar"), "rb")`.

Flow: with `bring: ahead` the rendered pod has `cloud_jobs.prefetch` beside the worker; this asks it over the socket
that TIERS_READS names, waits, and gives the path. Without that variable (data that were staged whole, a job on one
machine) it gives the path at once, so one program does for both. In a shell: `tar -xf "$(python -m cloud_jobs.reads
shard-1.tar)"`.

It imports the standard library alone: an image of one's own takes this one file along.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

# As in toolkit.wire.job, which an image of one's own does not have.
_DATA, _READS = "TIERS_DATA", "TIERS_READS"
_LONGEST_ANSWER = 65_536
_AGAIN_SECONDS = 0.2
"""So often it is tried to reach a prefetch that is not there yet, or was started anew."""


class NotReadyError(OSError):
    """The file could not be brought, or nobody was there to bring it."""


def ready(name: str, *, patience_seconds: float = 900.0, environ: Mapping[str, str] | None = None) -> Path:
    """Give the path of a file of the job's data when it is there.

    Args:
        name: below the job's data, such as `shard-000001.tar`.
        patience_seconds: how long to wait at most.
        environ: where TIERS_DATA and TIERS_READS are; nothing means this process's.

    Raises:
        NotReadyError: it could not be brought, or not in time.
        ValueError: the name leads out of the data.
    """
    there = os.environ if environ is None else environ
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\n" in name:
        raise ValueError(f"{name!r} is no name below the job's data")
    path = Path(there.get(_DATA, ".")) / name
    if address := there.get(_READS):
        _ask(address, "/".join(parts), time.monotonic() + patience_seconds)
    elif not path.exists():
        raise NotReadyError(f"{path} is not there, and {_READS} names nobody who could bring it")
    return path


def _ask(address: str, name: str, until: float) -> None:
    while True:
        try:
            answer = _answer(address, name, until)
            break
        except OSError as error:  # it starts, or starts anew
            if time.monotonic() + _AGAIN_SECONDS > until:
                raise NotReadyError(f"{name}: nobody answered on {address}: {error}") from error
            threading.Event().wait(_AGAIN_SECONDS)
    if answer.get("state") not in {"there", "brought"}:
        raise NotReadyError(f"{name}: {answer.get('error')}; {answer.get('hint')}")


def _answer(address: str, name: str, until: float) -> Mapping[str, object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(until - time.monotonic(), _AGAIN_SECONDS))
        connection.connect(address)
        connection.sendall(os.fsencode(name) + b"\n")
        with connection.makefile("rb") as lines:
            line = lines.readline(_LONGEST_ANSWER)
    if not line.endswith(b"\n"):
        raise ConnectionResetError("it ended before it had answered")
    answer: dict[str, object] = json.loads(line)
    return answer


def main(names: Sequence[str]) -> int:
    """Print the path of each file when it is there; give 1 when one of them cannot be."""
    for name in names:
        try:
            print(ready(name), flush=True)
        except (NotReadyError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
