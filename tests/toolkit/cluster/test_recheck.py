"""Who is named when an object has moved."""

from __future__ import annotations

import pytest

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
