"""Plan: from `rollout:` of tiers.yaml to order, waves and conditions of a rollout's document."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.fleet.pretend import NEW
from toolkit.fleet.rollout_plan import Laid, lay_out, with_conditions
from toolkit.protocol.waves import order_of
from toolkit.topology.rollout import Rollout as Settings
from toolkit.wire.rollout import Limit, Measured, Pace, Retry, RolloutSpec, Wave
from toolkit.wire.states import InstallState

NORTH, SOUTH = {"site": "north"}, {"site": "south"}


def settings(**written: object) -> Settings:
    return Settings.model_validate_json(json.dumps(written))


def fleet(north: int, south: int = 0) -> dict[str, dict[str, str]]:
    names = [
        *((f"n-{each:03}", NORTH) for each in range(north)),
        *((f"s-{each:03}", SOUTH) for each in range(south)),
    ]
    return dict(names)


def reach(laid: Laid) -> list[int]:
    return [wave.devices for wave in laid.waves]


@pytest.mark.parametrize(
    ("canary", "waves", "total", "expected"),
    [
        (2, ["25%", "100%"], 120, [2, 30, 120]),
        (1, ["100%"], 1, [1]),
        (1, ["100%"], 2, [1, 2]),
        (5, ["10%", "50%", "100%"], 10, [5, 10]),
        ("1%", ["33%", "100%"], 10, [1, 4, 10]),
        (3, [5, "100%"], 2, [2]),
    ],
)
def test_waves_are_the_canary_then_shares_rounded_up_then_all(canary, waves, total, expected) -> None:
    laid = lay_out("x", settings(canary=canary, waves=waves), fleet(total))
    assert reach(laid) == expected
    assert laid.devices == order_of("x", tuple(fleet(total)))


def test_a_wave_for_labels_brings_their_devices_forward() -> None:
    rules = settings(
        canary={"labels": SOUTH, "share": 2}, waves=[{"labels": NORTH, "share": "50%"}, "60%", "100%"]
    )
    laid = lay_out("x", rules, fleet(20, 20))
    assert reach(laid) == [2, 12, 24, 40]
    assert [wave.label for wave in laid.waves] == ["site=south", "site=north", "", ""]
    assert all(device.startswith("s-") for device in laid.devices[:2])
    assert all(device.startswith("n-") for device in laid.devices[2:12])
    assert sorted(laid.devices) == sorted(fleet(20, 20))


def test_the_word_of_an_operator_is_asked_before_a_wave_even_when_the_wave_asked_for_is_empty() -> None:
    rules = settings(canary=1, waves=[{"share": "50%", "approve": True}, "100%"])
    assert lay_out("x", rules, fleet(10)).waves == (
        Wave(devices=1),
        Wave(devices=5, approve=True),
        Wave(devices=10),
    )
    assert lay_out("x", rules, fleet(2)).waves == (Wave(devices=1), Wave(devices=2, approve=True))


@given(
    st.integers(1, 50),
    st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(1, 60),
    st.integers(0, 60),
    st.booleans(),
)
def test_waves_always_grow_and_end_with_all(
    canary: int, percents: list[int], north: int, south: int, label
) -> None:
    waves = [{"share": f"{each}%", "labels": NORTH if label and each < 100 else {}} for each in percents]
    laid = lay_out("x", settings(canary=canary, waves=[*waves, "100%"]), fleet(north, south))
    assert reach(laid) == sorted(set(reach(laid)))
    assert (reach(laid)[0] >= 1, reach(laid)[-1]) == (True, north + south)
    assert sorted(laid.devices) == sorted(fleet(north, south))


def spec() -> RolloutSpec:
    return RolloutSpec(
        model="digits", version="2", artifact=NEW, devices=("a", "b"), waves=(Wave(devices=2),)
    )


def test_the_conditions_of_tiers_yaml_stand_in_the_document() -> None:
    rules = settings(
        soak="10m", success="95%", offline_grace="2h", deadline="7d",
        pace={"per_minute": 10, "most": 100, "growth": 1.5, "each": 5, "in_flight": 20},
        retry={"attempts": 3, "codes": ["no-space"]},
        abort_if={
            "error_rate": ">1%", "p99": ">500ms", "requests": 50, "refused": ">5%", "executed": 20,
            "codes": {"golden-mismatch": ">0"}, "states": {"ROLLED_BACK": ">2%"}, "then": "stop",
        },
    )  # fmt: skip
    made = with_conditions(spec(), rules)
    assert made.limits == (
        Limit(share=0.05, executed=20),
        Limit(count=0, codes=("golden-mismatch",)),
        Limit(share=0.02, states=(InstallState.ROLLED_BACK,), executed=20),
    )
    assert made.max_failed == 2, "a percentage alone decides"
    assert made.measured == Measured(error_rate=0.01, p99_seconds=0.5, requests=50)
    assert made.pace == Pace(per_minute=10.0, most=100.0, growth=1.5, each=5, in_flight=20)
    assert made.retry == Retry(attempts=3, codes=("no-space",))
    assert (made.soak_seconds, made.success, made.on_failure) == (600.0, 0.95, "stop")
    assert (made.offline_grace_seconds, made.deadline_seconds) == (7200.0, 604800.0)


def test_what_is_not_written_is_strict_patient_and_takes_back() -> None:
    made = with_conditions(spec(), settings())
    assert (made.max_failed, made.limits, made.measured, made.on_failure) == (0, (), None, "take-back")
    assert (made.pace, made.retry, made.deadline_seconds) == (None, None, None)
    assert made.offline_grace_seconds == 86400.0


def test_a_number_at_the_start_beats_tiers_yaml() -> None:
    rules = settings(abort_if={"refused": ">5%"})
    assert (with_conditions(spec(), rules, 1).max_failed, with_conditions(spec(), rules, 1).limits) == (1, ())


def test_queries_of_tiers_yaml_get_the_words_of_the_rollout_and_keep_what_else_they_say() -> None:
    promql = 'avg(drop{model="$model", version="$version"}) - avg(drop{version="$previous", at=~".*$"})'
    rules = settings(abort_if={"queries": {"dice-drop": {"promql": promql, "above": 0.02}}})
    (query,) = with_conditions(spec(), rules).queries
    assert (query.name, query.above) == ("dice-drop", 0.02)
    assert f'model="{spec().model}", version="{spec().version}"' in query.promql
    assert query.promql.endswith('at=~".*$"})')
