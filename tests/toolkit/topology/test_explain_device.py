"""All that holds for a device, each value with who set it and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import UsageError
from toolkit.topology.explain import explain
from toolkit.topology.explain_device import explain_device
from toolkit.topology.load import load
from toolkit.topology.settings import Settings

SITE = Path(__file__).resolve().parents[2] / "invalid" / "site.yaml"

OVER = """
tiers:
  edge:
    settings: {disk: 1GiB, report: 1m}
    pools:
      boxes:
        nodes: {labels: {site: a}, own_labels: {box-2: {room: r}}}
        settings: {disk: 2GiB, log: debug}
        devices: {box-2: {outbox: 1GiB}}
overrides:
  - match: {names: ["box-*"]}
    set: {disk: 3GiB, outbox: 2GiB}
  - match: {labels: {room: r}}
    set: {disk: 4GiB}
"""


def by_key(found):
    return {each.key: each for each in found.values}


def test_each_value_says_who_set_it_and_where(over_site):
    found = by_key(explain_device(over_site(OVER), "box-2"))
    said = {key: (each.value, each.by, each.place and each.place.line) for key, each in found.items()}
    assert said["disk"] == ("4GiB", "overrides[1]", 14)
    assert said["outbox"] == ("1GiB", "device", 9)
    assert said["log"] == ("debug", "pool", 8)
    assert said["report"] == ("1m", "tier", 4)
    assert said["hold"] == (False, "default", None)
    assert said["labels.site"] == ("a", "pool", 7)
    assert said["labels.room"] == ("r", "device", 7)
    assert said["pool"][:2] == ("boxes", "nodes.names")
    assert set(Settings.model_fields) <= set(said)


def test_what_was_beaten_stands_there_the_strongest_first(over_site):
    found = by_key(explain_device(over_site(OVER), "box-2"))
    assert [(layer.value, layer.place.line) for layer in found["disk"].replaced] == [
        ("3GiB", 12),
        ("2GiB", 8),
        ("1GiB", 4),
    ]
    assert [layer.value for layer in found["outbox"].replaced] == ["2GiB"]


def test_rules_that_match_say_what_they_decide(over_site):
    loaded = over_site(OVER)
    first, second = explain_device(loaded, "box-2").rules
    assert (first.rule, first.place.line, first.match, first.decides) == (
        "overrides[0]",
        11,
        {"names": ("box-*",)},
        (),
    )
    assert (second.rule, second.decides) == ("overrides[1]", ("disk",))
    (only,) = explain_device(loaded, "box-1").rules
    assert only.decides == ("disk", "outbox")


def test_every_value_is_the_one_that_holds(over_site):
    loaded = over_site(OVER)
    placed = loaded.topology.pool("boxes")
    for device in placed.node_names:
        found = by_key(explain_device(loaded, device))
        settings = loaded.topology.settings_of(placed, device)
        for key in Settings.model_fields:
            assert str(found[key].value) == str(getattr(settings, key)), (device, key)


def test_a_path_to_a_setting_follows_the_rules_too(over_site):
    loaded = over_site(OVER)
    (found,) = explain(loaded, "tiers.edge.pools.boxes.devices.box-1.disk")
    assert (found.value, found.place.line) == ("3GiB", 12)
    assert [layer.value for layer in found.replaced] == ["2GiB", "1GiB"]


def test_a_row_of_the_inventory_is_a_place(tmp_path):
    (tmp_path / "over.yaml").write_text("inventory: devices.csv\n")
    (tmp_path / "devices.csv").write_text("name,pool,disk,labels.room\nbox-9,boxes,2GiB,r\n")
    found = by_key(explain_device(load([SITE, tmp_path / "over.yaml"]), "box-9"))
    places = {key: found[key].place for key in ("pool", "disk", "labels.room")}
    assert {Path(place.where).name for place in places.values()} == {"devices.csv"}
    assert [places[key].column for key in ("pool", "disk", "labels.room")] == [1, 13, 18]


def test_an_unknown_device_is_answered_with_the_nearest(hospital):
    with pytest.raises(UsageError, match="no device 'endo-03'; did you mean 'endo-0"):
        explain_device(hospital, "endo-03")
    with pytest.raises(UsageError, match="there is no device 'a100-001'"):
        explain_device(hospital, "a100-001")
