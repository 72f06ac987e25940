from __future__ import annotations

import math
import random

import pytest

from edge_runtime.serving.pace import BESIDE_SECONDS, ENOUGH, TRY_EVERY, Pace


def work(pace, seconds_of, calls, most=math.inf):
    """Make calls as large as they may be, of at most so many rows; give how many rows each had."""
    sizes = []
    for _ in range(calls):
        rows = min(pace.rows(), most)
        pace.learn(rows, seconds_of(rows))
        sizes.append(rows)
    return sizes


def usual(sizes):
    return max(set(sizes), key=sizes.count)


def test_nothing_is_known_at_first_and_calls_may_be_as_large_as_they_can():
    pace = Pace(12)
    assert pace.seconds(1) == math.inf
    assert pace.rows() == 12


def test_a_model_that_larger_calls_only_slow_down_gets_them_one_row_at_a_time():
    pace = Pace(4)
    work(pace, lambda rows: 2.3e-3 * rows * (1 + 0.05 * (rows - 1)), ENOUGH * TRY_EVERY * 10)
    sizes = work(pace, lambda rows: 2.3e-3 * rows * (1 + 0.05 * (rows - 1)), 10 * TRY_EVERY)
    assert usual(sizes) == 1
    assert sizes.count(1) >= len(sizes) * 0.9


@pytest.mark.parametrize("most", [2, 5, 32, 33, 64])
def test_a_model_that_larger_calls_speed_up_gets_the_largest(most):
    pace = Pace(most)
    sizes = work(pace, lambda rows: 5e-6 + 18e-6 * rows, ENOUGH * TRY_EVERY * 10)
    assert usual(sizes[-320:]) == most
    assert max(sizes) <= most
    assert min(sizes) >= 1


def test_what_a_call_costs_beside_the_engine_counts_for_larger_ones():
    row = BESIDE_SECONDS * 2
    pace = Pace(8)  # each row alone would be 5 % faster, and would cost 50 % more beside it
    sizes = work(pace, lambda rows: row * rows * (1.05 if rows > 1 else 1), ENOUGH * TRY_EVERY * 10)
    assert usual(sizes[-320:]) == 8


@pytest.mark.parametrize("seed", range(5))
def test_calls_that_were_interrupted_do_not_change_what_is_best(seed):
    draw = random.Random(seed)

    def noisy(rows):
        late = draw.expovariate(1 / 10e-3) if draw.random() < 0.1 else 0.0
        return 2.3e-3 * rows * (1 + 0.05 * (rows - 1)) * draw.uniform(1, 1.02) + late

    pace = Pace(4)
    work(pace, noisy, ENOUGH * TRY_EVERY * 10)
    assert usual(work(pace, noisy, 10 * TRY_EVERY)) == 1


def test_a_difference_of_less_than_one_percent_changes_nothing():
    pace = Pace(4)
    sizes = work(pace, lambda rows: rows * 0.1 * (1.005 if rows > 1 else 1), ENOUGH * TRY_EVERY * 10)
    assert usual(sizes[-320:]) == 4


def test_a_model_whose_best_size_changes_is_found_out():
    pace = Pace(4)
    work(pace, lambda rows: 1e-3 * rows * (1.1 if rows > 1 else 1), ENOUGH * TRY_EVERY * 10)
    sizes = work(pace, lambda rows: 1e-3 * rows * (0.5 if rows > 1 else 1), ENOUGH * TRY_EVERY * 20)
    assert usual(sizes[-320:]) == 4


def test_so_many_rows_take_what_the_last_calls_took():
    pace = Pace(32)
    for _ in range(50):
        pace.learn(1, 0.010)
    assert pace.seconds(1) == pytest.approx(0.010)
    assert pace.seconds(5) == pytest.approx(0.050)
    for _ in range(50):  # dear calls, cheap rows
        pace.learn(100, 0.012)
    assert pace.seconds(1) == pytest.approx(0.012, rel=1e-3)


def test_one_long_call_counts_at_once_and_is_forgotten_in_time():
    pace = Pace(1)
    for _ in range(50):
        pace.learn(1, 0.001)
    pace.learn(1, 1.0)
    assert pace.seconds(1) > 0.1
    for _ in range(60):
        pace.learn(1, 0.001)
    assert pace.seconds(1) == pytest.approx(0.001, rel=0.01)


def test_a_call_without_rows_is_no_division_by_nothing():
    pace = Pace(4)
    pace.learn(0, 0.001)
    assert pace.seconds(0) == pytest.approx(0.001)
