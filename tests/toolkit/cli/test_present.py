"""`toolkit.cli.present`: one result, three forms; questions only where somebody can answer."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from toolkit.cli.present import Output, Table, confirm, progress, show
from toolkit.errors import Severity, UsageError


@dataclass(frozen=True)
class Moved:
    path: Path
    count: int
    how: Severity
    names: tuple[str, ...] = ("ä", "b")


RESULT = Moved(Path("a/b"), 12_000, Severity.WARNING)
PLAIN = {"path": "a/b", "count": 12_000, "how": "warning", "names": ["ä", "b"]}
TABLE = Table(("path", "count"), [("a/b", 12_000), ("a/[bold]c", 3)])


@pytest.mark.parametrize(
    ("output", "as_json"), [(Output.JSON, False), (Output.TABLE, True), (Output.YAML, True)]
)
def test_json(capsys, output, as_json):
    show(RESULT, TABLE, output, as_json=as_json)
    assert json.loads(capsys.readouterr().out) == PLAIN


def test_yaml(capsys):
    show(RESULT, TABLE, Output.YAML)
    text = capsys.readouterr().out
    assert yaml.safe_load(text) == PLAIN
    assert text.index("path") < text.index("count") < text.index("names")


def test_table_is_one_line_a_row_numbers_right_and_brackets_untouched(capsys):
    show(RESULT, TABLE, Output.TABLE)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["path       count", "a/b        12000", "a/[bold]c      3"]


def test_wide_letters_take_two_places_in_a_pipe_too(capsys):
    show(RESULT, Table(("name", "who"), [("病院", "a"), ("clinic", "b")]), Output.TABLE)
    assert capsys.readouterr().out.splitlines() == ["name    who", "病院    a", "clinic  b"]


def test_a_long_row_is_not_folded_in_a_pipe(capsys):
    show(RESULT, Table(("name",), [("x" * 300,)]), Output.TABLE)
    assert "x" * 300 in capsys.readouterr().out


def test_progress_draws_nothing_without_a_terminal(capsys):
    with progress("frames", 10) as advance:
        advance(10)
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


def test_progress_draws_on_a_terminal():
    reader, writer = pty.openpty()
    with (
        os.fdopen(writer, "w") as terminal,
        contextlib.redirect_stderr(terminal),
        progress("frames", 10) as advance,
    ):
        advance(10)
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux says that the terminal's other end is closed
        while more := os.read(reader, 65536):
            drawn += more
    os.close(reader)
    assert b"frames" in drawn


def test_nobody_to_ask_is_a_usage_error_and_yes_asks_nobody():
    confirm("remove it?", yes=True)
    before, sys.stdin = sys.stdin, io.StringIO("y\n")
    try:
        with pytest.raises(UsageError, match="remove it") as caught:
            confirm("remove it?", yes=False)
    finally:
        sys.stdin = before
    assert caught.value.hint == "add --yes"
