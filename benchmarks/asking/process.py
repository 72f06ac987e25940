"""A server in a process of its own, with all the processes that it starts: their processor time and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

START_SECONDS = 90.0


class Running:
    """A server that says on standard output where it listens; in a session of its own, so that all of it ends."""

    def __init__(self, command: list[str], *, log: Path, env: dict[str, str] | None = None) -> None:
        """Start it and wait for its line `ready ADDRESS`."""
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=file, text=True, start_new_session=True, env=env
            )
        try:
            self.address = self._wait()
        except BaseException:  # it is in a session of its own, where nobody else would end it
            self.stop()
            raise

    def _wait(self) -> str:
        assert self.process.stdout is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            line = self.process.stdout.readline()
            if line.startswith("ready "):
                return line.split(maxsplit=1)[1].strip()
            if not line:
                break
        raise SystemExit(f"{' '.join(self.process.args)} did not start:\n{self.log.read_text()[-2000:]}")  # type: ignore[arg-type]

    def cpu_seconds(self) -> float:
        """Give the processor time of all its processes, ended threads too."""
        return sum(cpu_seconds(pid) for pid in family(self.process.pid))

    def rss_bytes(self) -> int:
        """Give the memory of all its processes; what they share is counted by shares (Pss)."""
        return sum(pss_bytes(pid) for pid in family(self.process.pid))

    def stop(self) -> None:
        """End all of it."""
        pids = family(self.process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Running:
        """Give it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        del kind, error, trace
        self.stop()


def cpu_seconds(pid: int) -> float:
    """Read the processor time of a process from its own Linux clock, to the nanosecond.

    clock_getcpuclockid(3) computes the clock's number this way; /proc/PID/stat knows only whole ticks of 10 ms.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def family(pid: int) -> list[int]:
    """Give a process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(each.name))
    found = [pid]
    for each_pid in found:
        found += parents.get(each_pid, [])
    return found


def rss_bytes(pid: int) -> int:
    """Give the resident memory of one process now; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def pss_bytes(pid: int) -> int:
    """Give the memory of one process, with its share of what it shares; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
