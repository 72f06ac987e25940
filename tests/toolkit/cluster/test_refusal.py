"""A refusal says what to do, and doing it helps: here of what a PriorityClass never changes."""

from __future__ import annotations

import pytest

from toolkit.cluster.outcome import raise_for
from toolkit.errors import PartlyAppliedError


def test_a_priority_that_cannot_change_is_made_anew_by_the_command_that_is_named(two_pools, topology):
    before = two_pools()
    assert not before.apply().failed
    name = f"{before.name}-batch"
    path = f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}"
    assert before.api.get(path)["preemptionPolicy"] == "PreemptLowerPriority"

    document = before.topology.model_copy(
        update={"priorities": topology({"priorities": {"batch": {"value": 7, "preempts": False}}}).priorities}
    )
    after = before.changed(document)
    with pytest.raises(PartlyAppliedError) as caught:
        raise_for([after.apply()])
    assert f"kubectl delete priorityclass {name}, then tiers apply" in caught.value.hint
    before.api.delete(path)  # what that command does
    assert not after.apply().failed
    live = before.api.get(path)
    assert (live["preemptionPolicy"], live["value"]) == ("Never", 7)
