"""Run one of our own commands to its end, as a user would type it, and read what it printed.

Every step of the demo works through this file; long-running commands are started by `process`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import TiersError

TIERS = (sys.executable, "-m", "toolkit.cli")
TIERS_EDGE = (sys.executable, "-m", "edge_runtime")
"""The commands `tiers` and `tiers-edge` of this very environment, wherever its scripts are."""

_MOST_SECONDS = 300.0


class CommandFailedError(TiersError):
    """One of our commands ended with an error; `status` is its exit code, the hint is what it said to try."""

    def __init__(self, shown: str, status: int, stderr: str) -> None:
        """Take the command's own words."""
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        cures = [line.removeprefix("try: ") for line in lines if line.startswith("try: ")]
        reason = errors[-1] if errors else (lines[-1] if lines else "it said nothing")
        super().__init__(f"{shown.split(' -', 1)[0]}: {reason}", hint=cures[-1] if cures else shown)
        self.status = status


@dataclass
class Commands:
    """Runs commands in a folder and remembers how they were typed."""

    folder: Path
    typed: list[str] = field(default_factory=list)

    def run(self, *arguments: str | Path, accept: Sequence[int] = (0,)) -> str:
        """Run `tiers ARGUMENTS` and give its standard output.

        Args:
            arguments: what follows `tiers`.
            accept: exit codes that are no error here.

        Raises:
            CommandFailedError: it ended with another exit code, or took too long.
        """
        words = [str(argument) for argument in arguments]
        shown = " ".join(["tiers", *(self._short(word) for word in words)])
        self.typed.append(shown)
        try:
            done = subprocess.run(
                [*TIERS, *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_MOST_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailedError(shown, 1, f"error: not done after {_MOST_SECONDS:.0f} s") from error
        if done.returncode not in accept:
            raise CommandFailedError(shown, done.returncode, done.stderr)
        return done.stdout

    def ask(self, *arguments: str | Path, accept: Sequence[int] = (0,)) -> dict[str, object]:
        """Run `tiers ARGUMENTS --json` and give what it printed.

        Raises:
            CommandFailedError: it failed, or did not print a JSON object.
        """
        text = self.run(*arguments, "--json", accept=accept)
        try:
            answer = json.loads(text)
        except json.JSONDecodeError as error:
            raise CommandFailedError(
                self.typed[-1], 1, f"error: its output is not JSON: {text[:200]}"
            ) from error
        return answer if isinstance(answer, dict) else {"items": answer}

    def _short(self, word: str) -> str:
        """Show paths below the folder relative to it, so that the commands can be typed there."""
        return word.replace(f"{self.folder}/", "") or "''"
