"""Run one program to its end and say what it took, its children included."""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class Ran:
    """What a run took."""

    seconds: float
    processor: float
    """Seconds of processor, of the program and of the children that it waited for."""
    memory: int
    """Largest resident set in bytes, of the program or the largest of those children."""
    output: str
    wire: int = 0
    """Bytes that crossed loopback meanwhile, counted once; 0 outside of a network namespace of our own."""


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Ran:
    """Run a program; what it says on standard error goes into the message when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        asked = {
            "command": [str(each) for each in command],
            "cwd": cwd and str(cwd),
            "env": dict(env or {}),
            "out": str(out),
            "err": str(err),
        }
        launcher = _launcher()
        assert launcher.stdin
        assert launcher.stdout
        launcher.stdin.write(json.dumps(asked) + "\n")
        launcher.stdin.flush()
        said = launcher.stdout.readline()
        assert said, f"what starts the programs ended while it ran {command}"
        took = json.loads(said)
        output = out.read_text(errors="replace")
        failed = f"{command}: {err.read_text(errors='replace')[-2000:]}{output[-500:]}"
        assert took.pop("status") == 0, failed
    return Ran(output=output, **took)


@functools.cache
def _launcher() -> subprocess.Popen[str]:
    """Start what starts the programs; it ends with us, when there is nobody left to ask it for more."""
    command = [sys.executable, "-I", "-S", str(LAUNCHER)]
    launcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(launcher.communicate)  # closes its input, and waits for it
    return launcher


@contextmanager
def nothing_left_running() -> Iterator[None]:
    """End what still runs when this is left by an error, Ctrl-C or SIGTERM, so that its folder can go."""
    try:
        yield
    except BaseException:
        launcher = _launcher()
        launcher.terminate()
        launcher.wait()
        _launcher.cache_clear()
        raise


def bytes_below(root: Path) -> int:
    """Add up the sizes of all files below a folder."""
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
