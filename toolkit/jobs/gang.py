"""The processes of a gang: started together or not at all, ended together, and none of them left behind.

Each worker is the leader of a process group of its own, and waits at a gate (its standard input) until all have been
started. Its exit is noticed without reaping it, so that its group's number cannot pass to a stranger before the rest
of the group has been ended.  Flow: plan.workers -> `Gang.start` -> `next_end` … -> `stop` -> local decides.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import IO, BinaryIO

from toolkit.errors import JobError
from toolkit.jobs.plan import Worker

LineListener = Callable[[int, str], None]
"""Called with rank and line for everything that workers write; one call at a time."""

LONGEST_LINE = 64 * 1024
"""Bytes of one line that are handed on at once; longer ones come in parts."""

_LAST_WORDS = 5.0
"""Seconds that we wait for a log's end: a child that left the process group may hold the other end open for ever."""

_GATE = 'read -r _ || exit 125; exec "$@" </dev/null'
"""What the shell does before it becomes the worker: wait for a line; without one (we died or gave up) never start."""


@dataclass(frozen=True)
class End:
    """How a worker ended. `code` counts like a shell's: 128 + signal when a signal ended it; `by_signal` 0: none."""

    rank: int
    code: int
    by_signal: int

    @property
    def well(self) -> bool:
        """True for exit code 0."""
        return self.code == 0

    def __str__(self) -> str:
        """Write it for people."""
        if self.by_signal:
            return (
                f"rank {self.rank} was ended by {signal.Signals(self.by_signal).name} (exit code {self.code})"
            )
        return f"rank {self.rank} ended with exit code {self.code}"


class Gang:
    """Running workers. `stop` must be called when done, also after all have ended."""

    def __init__(self, listener: LineListener | None = None) -> None:
        """Take a listener for the workers' lines; their logs are written in any case."""
        self._listener = listener
        self._speaking = Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._readers: list[Thread] = []
        self._watchers: list[Thread] = []
        self._ends: SimpleQueue[End] = SimpleQueue()
        self._alive: set[int] = set()

    def start(self, workers: Sequence[Worker]) -> None:
        """Start all workers, or none: a worker's own code runs only after every process is there.

        Raises:
            JobError: one could not be started; the others were ended before they began.

        """
        try:
            for worker in workers:
                self._start(worker)
        except OSError as error:
            self.stop(0)
            raise JobError(
                f"rank {worker.rank} cannot start: {error}; the gang starts together or not at all, none did",
                hint="free what is missing (disk, memory, processes) and submit again",
            ) from error
        for rank in self._processes:
            self._open_gate(rank)

    def next_end(self, seconds: float | None = None) -> End | None:
        """Wait for the next worker to end; None when all have ended or the time (seconds) is over."""
        if not self._alive:
            return None
        try:
            end = self._ends.get(timeout=seconds)
        except Empty:
            return None
        self._alive.discard(end.rank)
        return end

    def ended_by(self, signals: Collection[int]) -> End | None:
        """Give a worker that one of these signals has ended by now, whether `next_end` has told of it or not.

        When one is killed the others fail for want of it, and may be noticed first; the kernel knows.
        """
        for rank, process in self._processes.items():
            info = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if info is not None and (end := _end_of(rank, info)).by_signal in signals:
                return end
        return None

    def stop(self, grace: float) -> None:
        """End what still runs: SIGTERM, up to `grace` seconds, SIGKILL to every process group. Harmless when repeated.

        A KeyboardInterrupt while waiting (a second Ctrl-C) cuts the grace short and is raised again.
        """
        try:
            for rank in tuple(self._alive):
                self._signal(rank, signal.SIGTERM)
            deadline = monotonic() + grace
            while self._alive and (left := deadline - monotonic()) > 0:
                self.next_end(left)
        finally:
            self._end_all()

    def _end_all(self) -> None:
        """Kill whatever is left of each group, children of workers too, then reap the leaders and finish the logs."""
        for rank in self._processes:
            self._signal(rank, signal.SIGKILL)
        for watcher in self._watchers:
            watcher.join()
        for process in self._processes.values():
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for reader in self._readers:
            reader.join(_LAST_WORDS)
        self._processes.clear()
        self._watchers.clear()
        self._readers.clear()
        self._alive.clear()
        self._ends = SimpleQueue()

    def _start(self, worker: Worker) -> None:
        worker.log.parent.mkdir(parents=True, exist_ok=True)
        log = worker.log.open("wb", buffering=0)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "gate", *worker.command],
                env=dict(worker.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            log.close()
            raise
        self._processes[worker.rank] = process
        self._alive.add(worker.rank)
        self._readers.append(
            Thread(
                target=self._read,
                args=(worker.rank, process.stdout, log),
                name=f"rank-{worker.rank}-log",
                daemon=True,
            )
        )
        self._watchers.append(
            Thread(
                target=self._watch,
                args=(worker.rank, process.pid),
                name=f"rank-{worker.rank}-end",
                daemon=True,
            )
        )
        self._readers[-1].start()
        self._watchers[-1].start()

    def _open_gate(self, rank: int) -> None:
        gate = self._processes[rank].stdin
        if gate is not None:
            with contextlib.suppress(
                BrokenPipeError
            ):  # it was ended at the gate; its end is reported as any other
                gate.write(b"\n")
                gate.close()

    def _read(self, rank: int, output: IO[bytes] | None, log: BinaryIO) -> None:
        """Copy a worker's output to its log and to the listener until the last process of its group closes it."""
        if output is None:
            return
        with output, log:
            for line in iter(lambda: output.readline(LONGEST_LINE), b""):
                log.write(line)
                if self._listener is not None:
                    with self._speaking:
                        self._listener(rank, line.decode(errors="replace").rstrip("\n"))

    def _watch(self, rank: int, pid: int) -> None:
        """Notice the end of a worker and leave it unreaped, so that its process group stays ours."""
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if info is not None:
            self._ends.put(_end_of(rank, info))

    def _signal(self, rank: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._processes[rank].pid, number)


def _end_of(rank: int, info: os.waitid_result) -> End:
    by_signal = 0 if info.si_code == os.CLD_EXITED else info.si_status
    return End(rank, 128 + by_signal if by_signal else info.si_status, by_signal)
