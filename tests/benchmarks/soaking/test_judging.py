"""The judge of a soak finds a request of a fourth kind, an answer by a wrong version, and memory that grows."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from benchmarks.soaking.judging import (
    Asked,
    Fault,
    Reign,
    growth,
    kinds,
    percentile,
    read,
    records,
    wrong_versions,
)

ANSWERED = Asked("small", 10.0, 10.1, 200, "v1", 1)
KILL = Fault(20.0, 21.0)


def asked(**changes: object) -> Asked:
    return dataclasses.replace(ANSWERED, **changes)


def test_three_kinds_are_counted() -> None:
    cut = asked(due=19.9, ended=20.0, status=0, why="closed")
    count, strange = kinds([ANSWERED, asked(status=429), asked(status=503), cut], [KILL])
    assert count == {"answered": 1, "refused 429": 1, "refused 503": 1, "cut by a kill": 1}
    assert not strange


@pytest.mark.parametrize(
    "fourth",
    [
        asked(status=500),
        asked(status=400),
        asked(status=0, why="ConnectionResetError"),
        asked(due=21.1, ended=21.2, status=0),
        asked(due=-math.inf, ended=math.inf, status=-1, why="unanswered"),
    ],
)
def test_anything_else_is_a_fourth_kind(fourth: Asked) -> None:
    count, strange = kinds([ANSWERED, fourth], [KILL])
    assert (count.total(), strange) == (1, [fourth])


def test_an_answer_names_the_version_that_its_scores_prove() -> None:
    wrong = asked(named="v2")
    assert wrong_versions([ANSWERED, wrong, asked(status=429, named="", proven=0)]) == [wrong]


def test_an_answer_is_of_the_version_that_reigned_while_it_was_asked_for() -> None:
    before, after = Reign(0.0, 10.2, 1), Reign(10.5, 20.0, 2)
    late = asked(due=10.6, ended=10.7)
    assert wrong_versions([ANSWERED, late], [before, after]) == [late]
    assert not wrong_versions([asked(due=10.4, ended=10.6)], [before, after]), (
        "a request across a swap may have either"
    )


def test_an_accepted_record_is_kept_once() -> None:
    put = [asked(named="a"), asked(named="b"), asked(named="c", status=0), asked(named="d", status=0)]
    assert records(put, ["a", "b", "d"]) == (set(), [])
    assert records(put, ["a", "c", "c", "b", "b"]) == (set(), ["c", "b"])
    assert records(put, ["b"]) == ({"a"}, [])


def test_growth_is_the_slope_by_the_minute() -> None:
    assert growth([(x, 100.0 + x) for x in range(61)]) == pytest.approx(60 / 130)
    assert growth([(x, 100.0 + x % 2) for x in range(100)]) == pytest.approx(0.0, abs=1e-3)


def test_percentile_is_a_value_that_came() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([*range(1, 101)], 99) == 99
    assert math.isnan(percentile([], 99))


def test_what_the_client_wrote_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "soak.tsv"
    file.write_text("small\t10.0\t10.1\t200\tv1\t1\t\n?\t-inf\tinf\t-1\t\t0\tunanswered\n")
    first, second = read(file)
    assert first == ANSWERED
    assert (second.status, second.why) == (-1, "unanswered")
