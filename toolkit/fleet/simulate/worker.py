"""A process with a crowd in it, run as `python -m toolkit.fleet.simulate.worker` by `workers`.

Its plan is the first line of its standard input; then it obeys one word a line: `faults`, `calm`, `traffic`, `end`.
Each is answered with a line of JSON, the crowd's traffic. When its input ends, that is, when its parent does, it ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

import msgspec

from toolkit.fleet.simulate.crowd import Crowd, CrowdPlan
from toolkit.fleet.simulate.process import ask_for_files
from toolkit.wire.learnt import learn

_STACK_BYTES = 256 * 1024
"""For the thread of each link; a thousand of the usual 8 MiB would look like a lot to who counts."""
_IDLE_SECONDS = 0.01


def main() -> None:
    """Obey standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends us in good order
    threading.stack_size(_STACK_BYTES)
    ask_for_files()
    # Read without a buffer of Python's, which would hide lines from `select`.
    unread, words = _plan()
    crowd = Crowd(msgspec.json.decode(words, type=learn(CrowdPlan)))
    ended = False
    while not ended:
        busy = crowd.turn()
        if not select.select([0], [], [], 0.0 if busy else _IDLE_SECONDS)[0]:
            continue
        data = os.read(0, 4096)
        unread += data
        *lines, unread = unread.split(b"\n")
        for line in [*lines, *([] if data else [b"end"])]:
            ended = ended or line == b"end"
            _obey(crowd, line.decode())
            os.write(1, msgspec.json.encode(crowd.traffic) + b"\n")


def _plan() -> tuple[bytes, bytes]:
    """Read up to the end of the first line; give what came after it, and the line."""
    data = b""
    while b"\n" not in data:
        more = os.read(0, 1 << 20)
        if not more:
            sys.exit("no plan came on standard input; this is started by tiers fleet simulate")
        data += more
    line, _, rest = data.partition(b"\n")
    return rest, line


def _obey(crowd: Crowd, word: str) -> None:
    if word == "faults":
        crowd.begin_faults()
    elif word == "calm":
        crowd.end_faults()
    elif word == "end":
        crowd.close()


if __name__ == "__main__":
    main()
