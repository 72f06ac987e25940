"""Messages at their edges: the router's three ways, topics that are taken, sizes, devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.topology.kubeedge_topics import owner_of
from toolkit.topology.load import examine
from toolkit.wire.topics import Topics

SITE = Path(__file__).parents[3] / "invalid" / "site.yaml"
TO_URL = 'to: {url: "http://alarms.example/door"}'


def codes(tmp_path, text):
    (tmp_path / "case.yaml").write_text(text)
    return [each.code for each in examine([SITE, tmp_path / "case.yaml"], {}).problems]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("from: {path: /a}, to: {topic: a}", []),
        ("from: {path: /a}, to: {path: /b, port: 80}", []),
        (f"from: {{topic: a, devices: [box-1]}}, {TO_URL}", []),
        (f"from: {{topic: a, pools: [boxes]}}, {TO_URL}", []),
        (f"from: {{path: /a}}, {TO_URL}", ["E0828"]),
        (f"from: {{topic: a}}, {TO_URL}", ["E0828"]),
        (f"from: {{path: /a, topic: a}}, {TO_URL}", ["E0828"]),
        ("from: {topic: a, devices: [box-1]}, to: {path: /a, port: 80}", ["E0828"]),
        ("from: {path: /a}, to: {path: /a}", ["E0828"]),
        ("from: {path: /a}, to: {topic: a, port: 80}", ["E0828"]),
        ("from: {path: /a}, to: {}", ["E0828"]),
        ("from: {path: /a, devices: [box-1]}, to: {topic: a}", ["E0828"]),
        (f"from: {{topic: a, devices: [box-9]}}, {TO_URL}", ["E0824"]),
        (f"from: {{topic: a, pools: [gpu]}}, {TO_URL}", ["E0519"]),
        (f"from: {{topic: a, pools: [gpus]}}, {TO_URL}", ["E0401"]),
        ("from: {path: a}, to: {topic: a}", ["E0309"]),
        ("from: {path: /a/../b}, to: {topic: a}", ["E0309"]),
        ('from: {path: /a}, to: {topic: "a/+"}', ["E0827"]),
        ('from: {path: /a}, to: {topic: "a/#"}', ["E0827"]),
        ("from: {path: /a}, to: {topic: /a}", ["E0827"]),
        ("from: {path: /a}, to: {topic: anna/user/door}", ["E0827"]),
        ("from: {path: /a}, to: {topic: tiers/1/site/d/box-1/desired}", ["E0827"]),
        ("from: {path: /a}, to: {path: /b, port: 80}, at_most: 5MB", []),
        ("from: {path: /a}, to: {path: /b, port: 80}, at_most: 5MiB", ["E0829"]),
    ],
)
def test_what_is_taken_and_what_is_refused(tmp_path, message, found):
    assert codes(tmp_path, f"messages: {{m: {{{message}, may_be_lost: true}}}}\n") == found


def test_one_topic_on_two_devices_is_two_sources(tmp_path):
    both = "messages:\n" + "".join(
        f"  {name}: {{from: {{topic: a, {where}}}, {TO_URL}, may_be_lost: true}}\n"
        for name, where in (("one", "devices: [box-1]"), ("two", "%s"))
    )
    assert codes(tmp_path, both % "devices: [box-2]") == []
    assert codes(tmp_path, both % "pools: [boxes]") == ["E0830"]


def test_topics_of_kubeedge_and_ours_are_taken_and_others_free():
    ours = Topics("site")
    taken = ["$hw/events/upload/x", "$hw", "$ke/events/device/a/data/update", "SYS/dis/upload_records"]
    taken += ["x/user", "x/user/y", "$SYS/broker", ours.root, ours.desired("box-1")]
    assert [topic for topic in taken if not owner_of(topic)] == []
    free = ["hw/events", "site/users", "site/a/user", "tiersmann/a", "SYS/dis", "user/a"]
    assert [topic for topic in free if owner_of(topic)] == []
