"""Progress of an apply: a bar for each cluster on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import pty

from toolkit.cli.apply_progress import applying
from toolkit.cluster.diff import Action
from toolkit.cluster.outcome import AppliedObject, Outcome
from toolkit.cluster.plan import ClusterPlan, PlannedObject


def wanted(kind: str, name: str) -> PlannedObject:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    return PlannedObject(action=Action.CREATE, source="", body=body, live=None)


PLAN = ClusterPlan(
    cluster="main",
    context="hospital",
    server="",
    uid="",
    objects=(wanted("Namespace", "site"), wanted("Queue", "a"), wanted("Queue", "b")),
)


def done(outcome: Outcome, kind: str, name: str) -> AppliedObject:
    return AppliedObject(outcome, kind, "", name, "")


def test_without_a_terminal_each_object_that_was_written_is_a_line(capsys):
    with applying([PLAN]) as tell:
        tell("main", done(Outcome.CREATED, "Namespace", "site"))
        tell("main", done(Outcome.UNCHANGED, "Queue", "a"))
        tell("main", done(Outcome.REFUSED, "Queue", "b"))
    assert capsys.readouterr().err.splitlines() == ["main: created Namespace site", "main: refused Queue b"]


def test_on_a_terminal_it_counts_the_objects_of_each_kind():
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal, contextlib.redirect_stderr(terminal), applying([PLAN]) as tell:
        tell("main", done(Outcome.CREATED, "Namespace", "site"))
        tell("main", done(Outcome.CREATED, "Queue", "a"))
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux says that the terminal's other end is closed
        while more := os.read(reader, 65536):
            drawn += more
    os.close(reader)
    shown = drawn.decode()
    assert "main" in shown
    assert "Queue 1/2" in shown
    assert "2/3" in shown
