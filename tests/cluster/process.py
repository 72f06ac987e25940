"""One program of the control plane as a process: its log, when it is ready, and its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.programs import find

TAIL = 25
"""Lines of a log that a failure shows."""


class Process:
    """A running program. It dies with this one, even when that is killed."""

    def __init__(self, program: str, *flags: str, folder: Path, name: str = "") -> None:
        path = find(program)
        assert path is not None, f"{program} is not here"
        self.name = name or program
        self.log = folder / f"{self.name}.log"
        end_with_parent = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "DEBUG_SOCKET_DIR": str(folder / self.name),  # Volcano's, else all of a machine share one in /tmp
            "GOMAXPROCS": "2" if program == "kube-apiserver" else "1",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*end_with_parent, str(path), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
            )

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        return f"--- {self.log}\n" + "\n".join(lines)

    def wait_ready(self, ready: Callable[[], object], seconds: float = 240) -> None:
        """Wait until `ready` is true; fail with the log's end after the deadline or when the program ends."""
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while not ready():
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                why = f"ended with {ended}" if ended is not None else f"is not ready after {seconds} s"
                raise RuntimeError(f"{self.name} {why}\n{self.tail()}")
            pause.wait(0.05)

    def ask_to_end(self) -> None:
        self.process.terminate()

    def end(self, seconds: float = 10) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=60)

    @property
    def resident(self) -> int:
        """Memory that it holds now, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0
