"""`tiers demo`: the main job on this machine, a table in which every figure was measured, and demo.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, Table, say, show

_Keep = Annotated[
    Path | None, typer.Option("--keep", metavar="DIR", help="Work in DIR, leave it, and say how to go on.")
]
_Break = Annotated[
    str, typer.Option("--break", metavar="FAULT", help="Break one thing on purpose, to see its row fail.")
]
_Evidence = Annotated[
    Path, typer.Option("--evidence", metavar="FILE", help="Where the evidence goes, as JSON.")
]


def demo(
    keep: _Keep = None,
    fault: _Break = "none",
    written_to: _Evidence = Path("demo.json"),
    as_json: JsonOption = False,
) -> None:
    """Render, ship a model to two devices, refuse a bad one, sync four tiers; about a minute."""
    import tempfile
    from contextlib import ExitStack

    from toolkit.demo.fault import named
    from toolkit.demo.run import run

    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tiers-demo-")))
        evidence = run(
            folder,
            written_to=written_to,
            fault=named(fault),
            show=lambda row: say(f"{_mark(good=row.good):6} {row.step}"),
        )
        rows = [(_mark(good=row.good), row.step, row.figure) for row in evidence.rows]
        show(evidence.rows, Table(("", "step", "measured"), rows), Output.TABLE, as_json=as_json)
        for row in evidence.rows:
            if row.hint:
                say(f"  try: {row.hint}")
        say(f"evidence: {written_to}")
        if keep is not None:
            say(f"go on by hand: less {folder / 'HOWTO.md'}")
        if evidence.exit_code:
            raise typer.Exit(evidence.exit_code)


def _mark(*, good: bool) -> str:
    return "ok" if good else "FAILED"
