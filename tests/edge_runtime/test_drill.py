"""The daemon stops where a drill says, as often as it says, and nowhere else."""

from __future__ import annotations

import pytest

from edge_runtime.drill import WRITES, Drill, read_pace
from toolkit.errors import UsageError
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.states import InstallState


def walk(drill: Drill, stops: list[tuple[str, str]]) -> None:
    """Go through all states and all writes; each write leaves a trace."""
    for state in InstallState:
        drill.entered("m", state)
        drill.leaving("m", state)
    for write in WRITES:
        with drill.write(write):
            stops.append(("wrote", write))


def test_it_stops_once_at_each_point() -> None:
    stops: list[tuple[str, str]] = []
    waits: list[int] = []
    drill = Drill(
        ["STAGED", "SEEDING:done", "bitmap:before", "index:after"],
        lambda model, point: stops.append((model, point)),
        lambda: waits.append(len(stops)),
    )
    walk(drill, stops)
    walk(drill, stops)
    assert stops[:2] == [("m", "SEEDING:done"), ("m", "STAGED")]
    assert waits[:2] == [1, 2], "it waits after it has said so"
    where = [stops.index(("", point)) for point in ("bitmap:before", "index:after")]
    assert stops[where[0] + 1] == ("wrote", "bitmap")
    assert stops[where[1] - 1] == ("wrote", "index")
    assert len(stops) == 2 * len(WRITES) + 4


def test_it_stops_at_the_time_that_is_asked_for() -> None:
    stops: list[tuple[str, str]] = []
    drill = Drill(["part:after#2"], lambda model, point: stops.append((model, point)), lambda: None)
    for _ in range(4):
        walk(drill, stops)
    assert [number for number, stop in enumerate(stops) if stop == ("", "part:after")] == [
        len(WRITES) + WRITES.index("part") + 1
    ]


def test_without_a_point_it_never_stops() -> None:
    stops: list[tuple[str, str]] = []
    walk(Drill((), lambda model, point: stops.append((model, point)), lambda: None), stops)
    assert stops == [("wrote", write) for write in WRITES]


def test_a_write_that_fails_is_not_said_to_be_over() -> None:
    stops: list[str] = []
    drill = Drill(["version:after"], lambda _model, point: stops.append(point), lambda: None)
    with pytest.raises(OSError, match="full"), drill.write("version"):
        raise OSError("full")
    assert not stops


@pytest.mark.parametrize("point", ["SLEEPING", "STAGED:before", "bitmap", "bitmap:during", "STAGED#x"])
def test_a_point_that_does_not_exist_is_refused_with_the_list(point: str) -> None:
    with pytest.raises(UsageError, match=point) as raised:
        Drill([point], lambda _model, _point: None, lambda: None)
    assert "STAGED" in raised.value.hint
    assert "bitmap" in raised.value.hint


def test_the_pace_of_a_drill_changes_what_it_names() -> None:
    pace = read_pace(["min_timeout=0.2", "max_window=65536"])
    assert pace == PaceSettings(min_timeout=0.2, max_window=65536)
    assert read_pace([]) == PaceSettings()


@pytest.mark.parametrize("limit", ["speed=3", "max_window=wide", "max_window", "min_timeout=0"])
def test_a_limit_that_does_not_exist_or_makes_no_sense_is_refused(limit: str) -> None:
    with pytest.raises(UsageError, match=limit) as raised:
        read_pace([limit])
    assert raised.value.hint
