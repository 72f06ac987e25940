"""Rules set something for devices by name and label: between the pool and the device, the later rule first."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.topology.effective import settings_of_all
from toolkit.topology.load import load
from toolkit.topology.override import Match

SITE = Path(__file__).resolve().parents[2] / "invalid" / "site.yaml"


def rules(over_site, text: str, more: str = ""):
    return over_site(f"overrides:\n{text}\n{more}").topology


def disks(topology) -> dict[str, str]:
    placed = topology.pool("boxes")
    return {name: str(topology.settings_of(placed, name).disk) for name in placed.node_names}


@pytest.mark.parametrize(
    ("names", "labels", "fits"),
    [
        (["box-1"], {}, True),
        (["box-*"], {}, True),
        (["box-?"], {}, True),
        (["*"], {}, True),
        (["cart-*", "*-1"], {}, True),
        (["box"], {}, False),
        (["box-1?"], {}, False),
        (["ox-1"], {}, False),
        (["box.1"], {}, False),
        ([], {"site": "north"}, True),
        ([], {"site": "south"}, False),
        ([], {"site": "north", "room": "a"}, False),
        (["box-1"], {"site": "north"}, True),
        (["box-2"], {"site": "north"}, False),
    ],
)
def test_a_condition_fits_when_all_of_it_holds(names, labels, fits):
    match = Match.model_validate({"names": tuple(names), "labels": labels})
    assert match.fits("box-1", {"site": "north", "floor": "2"}) is fits


def test_a_rule_beats_the_pool_and_a_device_beats_the_rule(over_site):
    pool = "tiers: {edge: {pools: {boxes: {settings: {disk: 1GiB}, devices: {box-2: {disk: 3GiB}}}}}}"
    rule = '  - {match: {names: ["box-*"]}, set: {disk: 2GiB}}'
    assert disks(rules(over_site, rule, pool)) == {"box-1": "2GiB", "box-2": "3GiB"}


def test_of_two_rules_the_later_one_wins_key_by_key(over_site):
    first = '  - {match: {names: ["box-*"]}, set: {disk: 2GiB, log: debug}}\n'
    second = "  - {match: {names: [box-2]}, set: {disk: 4GiB}}\n"
    topology = rules(over_site, first + second)
    assert disks(topology) == {"box-1": "2GiB", "box-2": "4GiB"}
    assert topology.settings_of(topology.pool("boxes"), "box-2").log == "debug"
    assert disks(rules(over_site, second + first)) == {"box-1": "2GiB", "box-2": "2GiB"}


def test_rules_go_by_labels_of_the_pool_and_by_own_ones_which_win(over_site):
    pool = "tiers: {edge: {pools: {boxes: {nodes: {labels: {site: a}, own_labels: {box-2: {site: b}}}}}}}"
    topology = rules(over_site, "  - {match: {labels: {site: b}}, set: {disk: 2GiB}}", pool)
    assert disks(topology) == {"box-1": "8GiB", "box-2": "2GiB"}


def test_labels_come_from_columns_of_the_inventory(tmp_path):
    (tmp_path / "over.yaml").write_text(
        "inventory: devices.csv\noverrides: [{match: {labels: {example.com/room: or-3}}, set: {disk: 2GiB}}]\n"
    )
    (tmp_path / "devices.csv").write_text(
        "name,pool,labels.example.com/room\nbox-8,boxes,or-3\nbox-9,boxes,\n"
    )
    topology = load([SITE, tmp_path / "over.yaml"]).topology
    assert disks(topology)["box-8"] == "2GiB"
    assert disks(topology)["box-9"] == "8GiB"
    assert topology.pool("boxes").labels_of("box-9") == topology.pool("boxes").pool.nodes.labels


def test_groups_hold_what_holds_for_each_of_their_devices(over_site):
    pool = (
        "tiers: {edge: {pools: {boxes: {nodes: {names: [a-1, a-2, b-1, b-2]}, settings: {hold: true},"
        " devices: {a-1: {hold: false}, b-2: {disk: 2GiB}}}}}}"
    )
    topology = rules(over_site, '  - {match: {names: ["b-*"]}, set: {disk: 2GiB}}', pool)
    placed = topology.pool("boxes")
    groups = settings_of_all(placed, topology.overrides)
    assert [each.devices for each in groups] == [("a-1",), ("a-2",), ("b-1", "b-2")]
    for group in groups:
        for device in group.devices:
            assert topology.settings_of(placed, device) == group.settings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("overrides: [{match: {names: [Box]}, set: {hold: true}}]", ["1:30 E0316"]),
        ("overrides: [{match: {names: [box-1]}, set: {}}]", ["1:39 E0930"]),
        ("overrides: [{match: {names: [box-1]}}]", ["1:13 E0202"]),
        ("overrides: [{match: {name: box-1}, set: {hold: true}}]", ["1:22 E0201"]),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(problems_of, text, found):
    assert [line.split(" ", 2)[:2] for line in problems_of(text)] == [each.split() for each in found]
