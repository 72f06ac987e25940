"""Routes become sync tasks that an agent can carry out without tiers.yaml."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.routes import sync_task, sync_tasks
from toolkit.sync.task import Storage, decode_task, encode_task


def test_a_route_with_a_clock_and_a_limit(hospital):
    task = sync_task(hospital, "frames", origin="endo-01")
    assert task.source == Storage(tier="edge", url="file:///var/lib/tiers/data")
    assert task.targets == (Storage(tier="hot", url="file:///mnt/scratch"),)
    assert (task.path, task.origin, task.trigger, task.then) == ("frames", "endo-01", "schedule", "keep")
    assert (task.every_seconds, task.limit_bytes_per_second, task.copies) == (600.0, 20 * 2**20, 0)


def test_a_route_to_the_archive_removes_what_arrived_whole(hospital):
    task = sync_task(hospital, "archive")
    assert task.source == Storage(tier="warm", url="s3://warm-a")
    assert (task.then, task.older_than_seconds, task.every_seconds) == ("remove_source", 30 * 86400.0, 3600.0)
    assert (task.targets[0].layout, task.grid) == ("packs", "archive")


def test_a_route_on_demand_has_no_clock(hospital):
    task = sync_task(hospital, "recall")
    assert (task.trigger, task.every_seconds, task.grid) == ("demand", 0.0, "data")


def test_copies_count_the_source(hospital):
    task = sync_task(hospital, "mirror")
    assert task.source.url == "s3://warm-a"
    assert [target.url for target in task.targets] == ["s3://warm-b"]
    assert task.copies == 1


def test_data_goes_to_the_first_storage_of_a_tier(hospital):
    assert [target.url for target in sync_task(hospital, "checkpoints").targets] == ["s3://warm-a"]


def test_conditions_are_carried(topology):
    when = {"older_than": "2d", "larger_than": "1MiB", "matching": "*.dcm"}
    task = sync_task(topology({"routes": {"frames": {"when": when}}}), "frames")
    assert (task.older_than_seconds, task.larger_than_bytes, task.matching) == (172800.0, 2**20, "*.dcm")


def test_a_tier_runs_the_routes_that_begin_there(hospital):
    assert [task.route for task in sync_tasks(hospital, "warm")] == ["archive", "mirror"]
    assert [task.route for task in sync_tasks(hospital)] == [
        "archive",
        "checkpoints",
        "frames",
        "mirror",
        "recall",
    ]


def test_every_task_survives_the_way_to_its_agent(hospital):
    for task in sync_tasks(hospital):
        assert decode_task(encode_task(task)) == task


def test_an_unknown_route_names_the_known_ones(hospital):
    with pytest.raises(UsageError, match="archive, checkpoints, frames, mirror, recall"):
        sync_task(hospital, "frame")


def test_a_topology_that_was_not_checked_still_gets_a_sentence(hospital):
    routes = {"mirror": hospital.routes["mirror"].model_copy(update={"copies": 3})}
    with pytest.raises(UsageError, match="3 copies need 3 storages, warm has 2"):
        sync_task(hospital.model_copy(update={"routes": routes}), "mirror")
    bare = {**hospital.tiers, "edge": hospital.tiers["edge"].model_copy(update={"storage": ()})}
    with pytest.raises(UsageError, match="tier edge has no storage"):
        sync_task(hospital.model_copy(update={"tiers": bare}), "frames")
