"""The daemon stops where a drill says, once, and nowhere else."""

from __future__ import annotations

import pytest

from edge_runtime.drill import Drill
from toolkit.errors import UsageError
from toolkit.wire.states import InstallState


def test_it_stops_once_at_each_point() -> None:
    stops: list[tuple[str, str]] = []
    waits: list[int] = []
    drill = Drill(
        ["STAGED", "SEEDING:done"],
        lambda model, point: stops.append((model, point)),
        lambda: waits.append(len(stops)),
    )
    for _ in range(2):
        for state in InstallState:
            drill.entered("m", state)
            drill.ending("m", state)
    assert stops == [("m", "SEEDING:done"), ("m", "STAGED")]
    assert waits == [1, 2], "it waits after it has said so"


def test_without_a_point_it_never_stops() -> None:
    stops: list[str] = []
    drill = Drill((), lambda _model, point: stops.append(point), lambda: stops.append("waited"))
    for state in InstallState:
        drill.entered("m", state)
        drill.ending("m", state)
    assert not stops


def test_a_point_that_is_no_state_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="SLEEPING") as raised:
        Drill(["SLEEPING"], lambda _model, _point: None, lambda: None)
    assert "STAGED" in raised.value.hint
