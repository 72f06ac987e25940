"""Start programs from a process that is small itself, and say what each took.

A program's largest resident set counts from the process that it was forked from: started by the benchmark, which holds
S3 clients and more, every tool would have the benchmark's own. `process` starts this file once, with nothing imported
that it does not need, and hands it one request a line; see getrusage(2) and exec_mmap in Linux' fs/exec.c.

Each program is in a group of its own. SIGTERM ends the launcher and that group at once, so that nobody still works in a
folder that is about to go; Ctrl-C is for who measures, which sends the SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, lambda *_: None)  # not ignored: what is ignored stays so across exec
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for line in sys.stdin:
        asked = json.loads(line)
        wired, begun = _loopback(), time.perf_counter()
        with open(asked["out"], "wb") as out, open(asked["err"], "wb") as err:  # noqa: PTH123 -- pathlib is large
            process = subprocess.Popen(
                asked["command"],
                cwd=asked["cwd"],
                env={**os.environ, **asked["env"]},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                _, status, used = os.wait4(process.pid, 0)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        answer = {
            "status": process.returncode,
            "seconds": seconds,
            "processor": used.ru_utime + used.ru_stime,
            "memory": used.ru_maxrss * 1024,
            "wire": _loopback() - wired,
        }
        print(json.dumps(answer), flush=True)


def _loopback() -> int:
    """Give the bytes that loopback has carried; 0 outside of a network namespace of the benchmark's own.

    Not from /sys, which shows the namespace of whoever mounted it.
    """
    if not os.environ.get("TIERS_BENCH_NAMESPACE"):
        return 0
    with open("/proc/self/net/dev") as lines:  # noqa: PTH123 -- pathlib is large
        return next(int(line.split()[1]) for line in lines if line.split()[0] == "lo:")


if __name__ == "__main__":
    main()
