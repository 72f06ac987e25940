from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from toolkit.fleet.simulate.habits import DAY, HOUR, WEEK_BEGINS, first_change, next_change
from toolkit.fleet.simulate.week import WeekPlan, simulate
from toolkit.fleet.simulate.week_plot import draw

PLAN = WeekPlan(devices=1500, seed=5, waves=(0.02, 0.1, 0.4, 1.0), executed=30, limit=0.15, success=0.8)


@pytest.fixture(scope="module")
def week():
    return simulate(PLAN)


def test_a_healthy_version_reaches_nearly_everybody(week):
    last = week.samples[-1]
    assert (week.state, week.touched) == ("SUCCEEDED", 1500)
    assert sum(last.stages.values()) == 1500
    assert last.stages["new"] >= 0.98 * 1500
    assert last.stages["refused"] == pytest.approx(0.005 * 1500, abs=8)
    assert last.stages["old"] == 0
    # Roaming devices come back days later and get it then.
    half, most, nearly = week.reached
    assert half is not None
    assert most is not None
    assert nearly is None or nearly > most >= half


def test_no_wave_begins_before_the_one_before_it_has_soaked(week):
    plan = week.plan
    sizes = (30, 120, 450, 900)
    done = []
    for number, size in enumerate(sizes):
        begun = next(each.at for each in week.samples if each.waves[number])
        if done:
            assert begun >= done[-1] + plan.soak_seconds
        done.append(
            next(each.at for each in week.samples if each.waves[number] >= plan.success * size) - HOUR
        )
    assert sum(sizes) == 1500


def test_the_depot_sends_no_faster_than_it_may(week):
    plan = week.plan
    sent = [each.depot_bytes for each in week.samples]
    assert sent == sorted(sent)
    for before, after in pairwise(sent):
        assert after - before <= plan.depot_rate * plan.sample_seconds * 1.0001
    assert sent[-1] >= week.samples[-1].stages["new"] * plan.fetch_bytes


def test_a_broken_version_stops_in_the_canary_and_nobody_keeps_it():
    found = simulate(replace(PLAN, devices=3000, waves=(0.05, 1.0), refusing=0.06, limit=0.02, days=2.0))
    last = found.samples[-1]
    assert found.state == "FAILED"
    assert "limit 2 %" in found.why
    assert found.touched <= 150
    assert last.stages["new"] == 0
    assert last.stages["old"] + last.stages["refused"] == 3000
    assert 0 < last.stages["refused"] <= 150


def test_the_same_seed_gives_the_same_week(week):
    again, other = simulate(PLAN), simulate(replace(PLAN, seed=6))
    assert again.samples == week.samples
    assert other.samples != week.samples


def test_late_returners_restart_no_soak_when_a_part_of_a_wave_is_enough():
    """With everybody waited for, somebody comes back all the time and each one makes the wave unfinished again."""
    slow = simulate(replace(PLAN, success=0.0))
    quick = simulate(PLAN)
    assert quick.ended_at is not None
    assert slow.ended_at is None or slow.ended_at > quick.ended_at


def test_offices_open_on_workdays_only():
    dice = random.Random(3)
    online, at = first_change("office", dice)
    assert online
    now, openings = 0.0, 0
    while now < 14 * DAY:
        now, online = at, not online
        at = next_change("office", dice, now, online=online)
        day, hour = divmod(now + WEEK_BEGINS, DAY)
        if online:
            openings += 1
            assert day % 7 < 5
            assert 6 * HOUR < hour < 8 * HOUR
        else:
            assert 18 * HOUR < hour < 20 * HOUR
    assert openings in {9, 10}


def test_the_plot_is_svg_with_a_curve_for_each_series(week):
    broken = simulate(replace(PLAN, refusing=0.2, days=0.25, sample_seconds=300.0))
    root = ET.fromstring(draw(week, broken))  # noqa: S314  # our own
    tag = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{tag}polygon")) == 6 + 5
    assert len(root.findall(f"{tag}polyline")) == 4 + 2
    texts = [each.text for each in root.findall(f"{tag}text")]
    assert "Where 1,500 devices stand" in texts
    for each in root.findall(f"{tag}polyline"):
        for point in each.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 70 <= x <= 670
            assert y >= 0
