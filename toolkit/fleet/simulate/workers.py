"""Crowds in processes of their own, so that a thousand devices do not share one interpreter's lock.

`rehearsal` starts them, tells them when the faults begin, and asks for their traffic at the end.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec
from msgspec.structs import replace

from toolkit.errors import TiersError
from toolkit.fleet.simulate.crowd import CrowdPlan, Traffic
from toolkit.wire.learnt import learn

_END_SECONDS = 60.0


class Workers:
    """Processes that hold the devices of one plan. `end` them in any case."""

    def __init__(self, plan: CrowdPlan, processes: int) -> None:
        """Start them; their devices connect at once, a few at a time."""
        self._processes: list[subprocess.Popen[bytes]] = []
        for number in range(max(1, processes)):
            names = plan.names[number :: max(1, processes)]
            if names:
                self._start(replace(plan, names=names))

    @property
    def pids(self) -> tuple[int, ...]:
        """Their process ids."""
        return tuple(each.pid for each in self._processes)

    def begin_faults(self) -> None:
        """Let outages count from now."""
        self._tell("faults")

    def end_faults(self) -> None:
        """Bring everybody back and leave them in peace."""
        self._tell("calm")

    def traffic(self) -> Traffic:
        """Ask for what has crossed the links of all devices so far."""
        return self._tell("traffic")

    def end(self) -> Traffic:
        """Let all devices say goodbye, wait for the processes, and give the traffic. Repeated calls give nothing."""
        if not self._processes:
            return Traffic()
        try:
            return self._tell("end")
        finally:
            for process in self._processes:
                _end(process)
            self._processes.clear()

    def _start(self, plan: CrowdPlan) -> None:
        command = [sys.executable, "-m", "toolkit.fleet.simulate.worker"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._processes.append(process)
        _write(process, msgspec.json.encode(plan))

    def _tell(self, word: str) -> Traffic:
        for process in self._processes:
            _write(process, word.encode())
        total = Traffic()
        for process in self._processes:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise TiersError(
                    f"a process of simulated devices has ended by itself (exit code {process.poll()})",
                    hint="look at its messages above; fewer --devices need less memory and fewer open files",
                )
            part = msgspec.json.decode(line, type=learn(Traffic))
            total.sent += part.sent
            total.heard += part.heard
            total.outages += part.outages
        return total


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    if process.stdin is not None:
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended; whoever waits for its answer says so


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                continue
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
