"""Start the demo's processes and end exactly those. Each writes its own log into the demo's folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from toolkit.errors import TiersError

T = TypeVar("T")
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.05


@dataclass
class Process:
    """A process that the demo started."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def last_lines(self, count: int = 5) -> str:
        """Give the end of its log, for an error."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:])

    def stop(self) -> None:
        """Ask it to end, and insist after a while. Does nothing if it has ended."""
        if not self.running:
            return
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def start(name: str, command: Sequence[str], folder: Path) -> Process:
    """Start a command with its output going to FOLDER/NAME.log.

    Raises:
        TiersError: the program cannot be started.
    """
    log = folder / f"{name}.log"
    try:
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=folder,
            )
    except OSError as error:
        raise TiersError(
            f"{name} cannot be started ({command[0]}): {os.strerror(error.errno or 0)}"
        ) from error
    return Process(name, log, popen)


def wait_for(what: str, look: Callable[[], T | None], seconds: float, *, needs: Sequence[Process] = ()) -> T:
    """Look again and again until there is something, a needed process ends, or the time is over.

    Raises:
        TiersError: it did not come; the message has the end of the log of a process that ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        for process in needs:
            if not process.running:
                raise TiersError(
                    f"{process.name} ended with {process.popen.returncode}"
                    f" while {what} was awaited:\n{process.last_lines()}",
                    hint=f"read {process.log}",
                )
        if time.monotonic() > deadline:
            logs = ", ".join(str(process.log) for process in needs)
            raise TiersError(
                f"{what} did not come within {seconds:.0f} s", hint=f"read {logs}" if logs else ""
            )
        time.sleep(_LOOK_SECONDS)
