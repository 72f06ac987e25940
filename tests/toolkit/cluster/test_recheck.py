"""Who is named when an object has moved."""

from __future__ import annotations

import pytest

from toolkit.cluster.prune import is_still, seen
from toolkit.cluster.recheck import who_changed


def entry(manager: str, time: str, subresource: str = "") -> dict[str, str]:
    return {"manager": manager, "time": time} | ({"subresource": subresource} if subresource else {})


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "nobody says by whom"),
        ([entry("tiers", "2026-11-22T00:00:01Z")], "nobody says by whom"),
        ([entry("controller", "2026-11-22T00:00:09Z", "status")], "nobody says by whom"),
        (
            [entry("tiers", "9"), entry("kubectl-edit", "2026-11-22T00:00:01Z")],
            "by kubectl-edit at 2026-11-22T00:00:01Z",
        ),
        ([entry(name, str(time)) for time, name in enumerate("abcd")], "by d at 3, c at 2, b at 1"),
        ([entry("autoscaler", "1", "scale")], "by autoscaler at 1"),
    ],
)
def test_the_last_ones_are_named_but_not_we(entries, said):
    assert who_changed({"metadata": {"managedFields": entries}}) == said


def queue(spec: dict, kind: str = "Queue", uid: str = "u") -> dict:
    return {"kind": kind, "metadata": {"name": "research", "uid": uid, "resourceVersion": "1"}, "spec": spec}


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        (queue({"weight": 1}), queue({"weight": 1}), True),
        (queue({"weight": 1}), queue({"weight": 1, "parent": "root"}), True),
        (queue({"weight": 1, "parent": "root"}), queue({"weight": 1, "parent": "root"}), True),
        (queue({"weight": 1}), queue({"weight": 1, "parent": "ward"}), False),
        (queue({"weight": 1, "parent": "ward"}), queue({"weight": 1, "parent": "root"}), False),
        (queue({"weight": 1}), queue({"weight": 2, "parent": "root"}), False),
        (queue({"weight": 1}), queue({"weight": 1}, uid="v"), False),
        (queue({}, "Job"), queue({"parent": "root"}, "Job"), False),
    ],
)
def test_a_queue_is_still_the_same_with_volcanos_default_parent(then, now, same):
    key = ("", then["kind"], "", "research")
    assert is_still(seen(key, then), now) is same
