"""What a person or a script sees: results as table, JSON or YAML on stdout; errors, progress and questions on stderr.

Every command file ends here with the result object of its one library call. rich and yaml are imported where they
are used, so that commands which need neither do not pay for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from toolkit.cli.report import describe, say
from toolkit.errors import UsageError

__all__ = [
    "JsonOption", "Output", "OutputOption", "Table", "YesOption", "confirm", "describe", "progress", "say", "show",
]  # fmt: skip


_LABEL_WIDTH = 32


class Output(str, Enum):
    """How a reading command writes its result."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to write the result.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as --output json.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to every question.")]


@dataclass(frozen=True)
class Table:
    """The short form of a result, for people: some columns of it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def show(value: object, table: Table, output: Output, *, as_json: bool = False) -> None:
    """Write a result to stdout.

    Args:
        value: the whole result (dataclasses, msgspec structs, containers), for JSON and YAML.
        table: its short form, for people.
        output: what --output says.
        as_json: what --json says; it wins.
    """
    if as_json or output is Output.JSON:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())
    elif output is Output.YAML:
        import msgspec
        import yaml

        plain = msgspec.to_builtins(value, enc_hook=str, str_keys=True)
        print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), end="")
    else:
        _show_table(table)


def _show_table(table: Table) -> None:
    """Write aligned columns; a terminal's width folds them, a pipe gets one line per row. NO_COLOR is rich's own."""
    rows = [[str(cell) for cell in row] for row in table.rows]
    right = [
        bool(rows) and all(isinstance(row[index], int | float) for row in table.rows)
        for index in range(len(table.columns))
    ]
    if not sys.stdout.isatty() and not any("\n" in cell for row in rows for cell in row):
        for line in _lines([list(table.columns), *rows], right):
            print(line)
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for column, numbers in zip(table.columns, right, strict=True):
        drawn.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=10_000)
    console.print(drawn)


def _lines(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """Align cells as the table for a terminal does; that one takes a millisecond a row, which a pipe need not pay."""
    from rich.cells import cell_len

    sizes = [[cell_len(cell) for cell in row] for row in rows]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    for row, used in zip(rows, sizes, strict=True):
        cells = [
            " " * (width - size) + cell if to_the_right else cell + " " * (width - size)
            for cell, size, width, to_the_right in zip(row, used, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes bytes done since the last call; it draws a bar when stderr is a terminal.

    Args:
        label: what moves.
        total: bytes in all, or None when nobody knows.
    """
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_short(label), total=total)
        yield lambda done: bar.advance(task, done)


def _short(label: str) -> str:
    """Keep the end of a long label, where paths differ: the bar needs its room on a narrow terminal."""
    return label if len(label) <= _LABEL_WIDTH else f"…{label[1 - _LABEL_WIDTH :]}"


def _nothing(done: int) -> None:
    """Draw nothing: there is no terminal to draw on."""


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back; a `no` ends the command with exit code 1.

    Raises:
        UsageError: there is nobody to ask and --yes was not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"cannot ask '{question}': no terminal", hint="add --yes")
    typer.confirm(question, abort=True, err=True)
