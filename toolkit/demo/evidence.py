"""Rows of the demo's table, and the file `demo.json` with what stands behind them.

Filled by the steps, written by `run`, shown by the command.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolkit.demo.command import CommandFailedError
from toolkit.errors import TiersError
from toolkit.sync.whole import write_whole

FORMAT = 1
"""Number of the layout of demo.json."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done, the figure that was measured, and whether that is good."""

    step: str
    figure: str
    good: bool
    exit_code: int = 0
    """Exit code of the error that made it bad."""
    hint: str = ""


@dataclass
class Evidence:
    """What a run of the demo has shown so far."""

    folder: Path
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    """Digests, counts, paths and commands, by step; written to demo.json."""

    def good(self, step: str, figure: str, **facts: object) -> None:
        """Add a row that came out as it should."""
        self.rows.append(Row(step, figure, good=True))
        self.facts[step] = {**facts, "figure": figure}

    def bad(self, step: str, error: TiersError) -> None:
        """Add a row that did not, with the error's message, cure and exit code."""
        code = error.status if isinstance(error, CommandFailedError) else error.exit_code
        self.rows.append(Row(step, error.message, good=False, exit_code=code, hint=error.hint))
        self.facts[step] = {"error": error.message, "class": type(error).__name__, "hint": error.hint}

    @property
    def exit_code(self) -> int:
        """0, or the exit code of the first row that failed."""
        return next((row.exit_code for row in self.rows if not row.good), 0)

    def write(self, path: Path) -> None:
        """Write the evidence as JSON, whole or not at all."""
        whole = {"format": FORMAT, "exit_code": self.exit_code, "rows": [asdict(row) for row in self.rows]}
        text = json.dumps({**whole, "evidence": self.facts}, indent=2, sort_keys=True, default=str)
        write_whole(path, text.encode() + b"\n")
