"""Blocks for people: coloured on a terminal, plain in a pipe and with NO_COLOR."""

from __future__ import annotations

import pytest

from toolkit.cli.differences import show_applied, show_differences
from toolkit.cli.present import Output
from toolkit.cluster.outcome import Applied, AppliedObject, Outcome
from toolkit.errors import PartlyAppliedError

STEPS = [("change", "Queue research", ('~ spec.weight: "1" → "2"',)), ("create", "ConfigMap a/b", ("",))]


def test_a_block_an_object_and_no_colour_in_a_pipe(capsys):
    show_differences(STEPS)
    assert capsys.readouterr().out == (
        'change Queue research\n    ~ spec.weight: "1" → "2"\ncreate ConfigMap a/b\n'
    )


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_colours_on_a_terminal_unless_nobody_wants_them(monkeypatch, capsys, no_colour, coloured):
    for name in ("NO_COLOR", "TERM", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any output for a terminal then
    if no_colour:
        monkeypatch.setenv("NO_COLOR", no_colour)
    show_differences(STEPS, on_stderr=True)
    assert ("\x1b[33m" in capsys.readouterr().err) is coloured


def test_a_long_line_is_not_folded(capsys):
    show_differences([("change", "Queue q", ("~ a: " + "x" * 300,))])
    assert "x" * 300 in capsys.readouterr().out


def test_what_was_applied_ends_by_what_failed(capsys):
    done = AppliedObject(Outcome.CREATED, "Queue", "", "q", "queues.q")
    show_applied([Applied("main", "hospital", (done,), revision=3)], Output.TABLE, as_json=False)
    assert "this is revision 3 in the cluster main: tiers history" in capsys.readouterr().err
    refused = AppliedObject(Outcome.REFUSED, "Queue", "", "q", "queues.q", "no", cure="do it by hand")
    with pytest.raises(PartlyAppliedError) as caught:
        show_applied(
            [Applied("main", "hospital", (refused,), note="no revision")], Output.TABLE, as_json=False
        )
    assert caught.value.hint == "do it by hand"
    assert "no revision" in capsys.readouterr().err
