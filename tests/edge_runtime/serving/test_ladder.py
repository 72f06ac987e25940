"""The ladder on a clock that the tests turn: up after lasting pressure, down after lasting calm, never in swings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.serving.ladder import LONGEST_STAY, Ladder, Limits, Pressure, Rung

ALL = tuple(Rung)
LIMITS = Limits(up_seconds=2, down_seconds=10)
CALM = Pressure()
BETWEEN = Pressure(fill=(0.5, 0.5, 0.5))
EMERGENCIES = Pressure(fill=(1, 1, 1))
NORMALS = Pressure(fill=(0, 1, 1))
BATCHES = Pressure(fill=(0, 0, 1))
HEAT = Pressure(celsius=95)


def walk(ladder, pressure, seconds, start=0):
    """Hold this pressure for so many seconds; give (second, rung) of each step."""
    steps = []
    for now in range(start, start + seconds):
        if step := ladder.step(pressure, now):
            assert step.after is ladder.rung
            steps.append((now - start, step.after))
    return steps


def test_lasting_pressure_goes_up_rung_by_rung_and_no_further_than_the_last():
    ladder = Ladder(ALL, LIMITS)
    assert ladder.rung is Rung.FULL
    assert walk(ladder, EMERGENCIES, 30) == [(2 * rung, rung) for rung in ALL if rung]


def test_pressure_that_does_not_last_changes_nothing():
    ladder = Ladder(ALL, LIMITS)
    for start in range(0, 60, 3):
        assert walk(ladder, EMERGENCIES, 2, start) == []
        assert walk(ladder, BETWEEN, 1, start + 2) == []


def test_lasting_calm_goes_down_rung_by_rung():
    ladder = Ladder(ALL, LIMITS)
    walk(ladder, EMERGENCIES, 30)
    assert walk(ladder, CALM, 80, 30) == [(10 * n, Rung(5 - n)) for n in range(1, 6)]


def test_what_is_neither_pressure_nor_calm_leaves_it_where_it_is():
    ladder = Ladder(ALL, LIMITS)
    walk(ladder, EMERGENCIES, 5)
    assert ladder.rung is Rung.LARGER
    assert walk(ladder, BETWEEN, 1000, 5) == []
    walk(ladder, CALM, 10, 1005)
    walk(ladder, BETWEEN, 1, 1015)
    assert walk(ladder, CALM, 10, 1016) == []


def test_rungs_without_means_are_left_out():
    ladder = Ladder([Rung.SHED_BATCH, Rung.FALLBACK], LIMITS)
    assert walk(ladder, EMERGENCIES, 30) == [(2, Rung.FALLBACK), (4, Rung.SHED_BATCH)]
    assert walk(Ladder([], LIMITS), EMERGENCIES, 30) == []


@pytest.mark.parametrize(
    ("pressure", "highest", "reason"),
    [
        (BATCHES, Rung.OFFLOAD, "queue"),
        (NORMALS, Rung.SHED_BATCH, "queue"),
        (EMERGENCIES, Rung.SHED_NORMAL, "queue"),
        (Pressure(misses=(0, 0, 0.05)), Rung.OFFLOAD, "deadlines"),
        (Pressure(misses=(0, 0.05, 0.05)), Rung.SHED_BATCH, "deadlines"),
        (Pressure(misses=(0.05, 0.05, 0.05)), Rung.SHED_NORMAL, "deadlines"),
        (HEAT, Rung.OFFLOAD, "temperature"),
        (Pressure(celsius=97), Rung.SHED_NORMAL, "temperature"),
        (Pressure(throttled=True), Rung.OFFLOAD, "throttled"),
    ],
)
def test_a_rung_is_for_those_that_it_helps(pressure, highest, reason):
    ladder = Ladder(ALL, LIMITS)
    reasons = {step.reason for now in range(40) if (step := ladder.step(pressure, now))}
    assert ladder.rung is highest
    assert reasons == {reason}


@pytest.mark.parametrize(
    ("pressure", "stays"),
    [
        (Pressure(celsius=85.5), True),
        (Pressure(fill=(0, 0, 0.26)), True),
        (Pressure(fill=(0.25, 0.25, 0.25), misses=(0.01, 0.01, 0.01), celsius=85), False),
        (Pressure(misses=(0, 0, 0.02)), True),
        (Pressure(celsius=86), True),
        (Pressure(throttled=True), True),
        (Pressure(throttled=False, celsius=40), False),
    ],
)
def test_calm_is_when_nothing_speaks_for_the_rung(pressure, stays):
    ladder = Ladder([Rung.FALLBACK], LIMITS)
    walk(ladder, EMERGENCIES, 3)
    walk(ladder, pressure, 30, 3)
    assert ladder.rung is (Rung.FALLBACK if stays else Rung.FULL)


@pytest.mark.parametrize(
    ("pressure", "stays"),
    [(Pressure(celsius=93.5), True), (Pressure(celsius=93, throttled=True), False)],
)
def test_shedding_ends_while_it_is_still_warm(pressure, stays):
    ladder = Ladder([Rung.SHED_BATCH], LIMITS)
    walk(ladder, EMERGENCIES, 3)
    walk(ladder, pressure, 30, 3)
    assert ladder.rung is (Rung.SHED_BATCH if stays else Rung.FULL)


def test_batch_requests_that_press_on_do_not_keep_a_rung_that_sheds_them():
    ladder = Ladder([Rung.SHED_BATCH], LIMITS)
    walk(ladder, NORMALS, 3)
    assert ladder.rung is Rung.SHED_BATCH
    assert walk(ladder, BATCHES, 30, 3) == [(10, Rung.FULL)]


def test_a_load_that_only_the_higher_rung_bears_makes_it_stay_longer_each_time():
    ladder = Ladder([Rung.FALLBACK], LIMITS)
    stays, since = [], 0
    for now in range(3000):
        pressure = CALM if ladder.rung else EMERGENCIES
        if step := ladder.step(pressure, now):
            if step.after is Rung.FULL:
                stays.append(now - since)
            since = now
    # calm begins the second after each step up
    assert stays[:6] == [11, 21, 41, 81, 81, 81]
    assert LONGEST_STAY == 8
    walk(ladder, CALM, 1000, 3000)
    walk(ladder, EMERGENCIES, 3, 4000)
    assert walk(ladder, CALM, 30, 4003) == [(10, Rung.FULL)]


LOADS = st.sampled_from((CALM, BETWEEN, BATCHES, NORMALS, EMERGENCIES, HEAT))


@given(st.lists(st.tuples(LOADS, st.integers(1, 30)), max_size=20), st.sets(st.sampled_from(ALL)))
def test_steps_go_to_the_next_rung_and_never_faster_than_the_times_allow(loads, rungs):
    ladder, now, steps = Ladder(rungs, LIMITS), 0, [(-100, Rung.FULL)]
    ladders = sorted({Rung.FULL, *rungs})
    for pressure, seconds in loads:
        for _ in range(seconds):
            before = ladder.rung
            if step := ladder.step(pressure, now):
                assert step.before is before
                assert abs(ladders.index(step.after) - ladders.index(before)) == 1
                waited = now - steps[-1][0]
                assert waited >= (LIMITS.up_seconds if step.after > before else LIMITS.down_seconds)
                assert (step.reason == "calm") == (step.after < before)
                steps.append((now, step.after))
            now += 1
