"""Routes become sync tasks that an agent can carry out without tiers.yaml."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.routes import sync_task, sync_tasks, tasks_on_line
from toolkit.sync.task import Storage, decode_task, encode_task


def test_a_route_with_a_clock_and_a_limit(hospital):
    task = sync_task(hospital, "frames", origin="endo-01")
    assert task.source == Storage(tier="edge", url="file:///var/lib/tiers/data")
    assert task.targets == (Storage(tier="hot", url="file:///mnt/scratch"),)
    assert (task.path, task.origin, task.trigger, task.then) == ("frames", "endo-01", "schedule", "keep")
    assert (task.every_seconds, task.limit_bytes_per_second, task.copies) == (600.0, 20 * 2**20, 0)


def test_a_route_to_the_archive_removes_what_arrived_whole(hospital):
    task = sync_task(hospital, "archive")
    assert task.source == Storage(tier="warm", url="s3://warm-a", layout="packs")
    assert (task.then, task.older_than_seconds, task.every_seconds) == ("remove_source", 30 * 86400.0, 3600.0)
    assert (task.targets[0].layout, task.grid) == ("packs", "archive")


def test_a_route_on_demand_has_no_clock(hospital):
    task = sync_task(hospital, "recall")
    assert (task.trigger, task.every_seconds, task.grid) == ("demand", 0.0, "data")


def test_what_goes_to_the_archive_alone_is_cut_coarsely(hospital):
    grids = {task.route: task.grid for task in sync_tasks(hospital)}
    assert grids.pop("archive") == "archive"
    assert set(grids.values()) == {"data"}


def test_weights_are_cut_as_weights_wherever_they_go(topology):
    task = sync_task(topology({"routes": {"archive": {"content": "weights"}}}), "archive")
    assert (task.grid, task.format) == ("weights", 3)


def test_copies_count_the_source(hospital):
    task = sync_task(hospital, "mirror")
    assert task.source.url == "s3://warm-a"
    assert [target.url for target in task.targets] == ["s3://warm-b"]
    assert task.copies == 1


def test_more_storages_than_copies_leave_a_choice(topology):
    three = [{"url": f"s3://warm-{letter}"} for letter in "abc"]
    task = sync_task(topology({"tiers": {"warm": {"storage": three}}}), "mirror")
    assert (task.copies, task.spread, len(task.targets)) == (1, True, 2)
    assert not sync_task(topology({}), "mirror").spread


def test_data_goes_to_the_first_storage_of_a_tier(hospital):
    assert [target.url for target in sync_task(hospital, "checkpoints").targets] == ["s3://warm-a"]


def test_hours_have_limits_of_their_own_and_the_agent_caps_them_all(topology):
    hours = [{"days": "mon-fri", "from": "08:00", "to": "18:00", "limit": "1MiB/s"},
             {"days": "sat", "from": "22:00", "to": "06:00", "limit": "9MiB/s"}]  # fmt: skip
    agent = {"pool": "a100", "limit": "4MiB/s"}
    changed = {
        "routes": {"checkpoints": {"hours": hours, "timezone": "Europe/Berlin"}},
        "tiers": {"hot": {"agent": agent}},
    }
    task = sync_task(topology(changed), "checkpoints")
    assert task.limit_bytes_per_second == 4 * 2**20
    assert [(each.days, each.opens, each.closes, each.bytes_per_second) for each in task.hours] == [
        ((0, 1, 2, 3, 4), 480, 1080, 2**20),
        ((5,), 1320, 360, 4 * 2**20),
    ]
    assert (task.timezone, task.format) == ("Europe/Berlin", 2)


def test_a_route_without_a_limit_has_that_of_its_agent(topology):
    task = sync_task(
        topology({"tiers": {"hot": {"agent": {"pool": "a100", "limit": "4MiB/s"}}}}), "checkpoints"
    )
    assert task.limit_bytes_per_second == 4 * 2**20


def test_the_routes_of_a_tier_share_the_line_to_its_storages(hospital):
    def routes(site, tier, url):
        return [task.route for task in tasks_on_line(site, Storage(tier=tier, url=url, layout="packs"))]

    assert routes(hospital, "warm", "s3://warm-b") == ["archive", "checkpoints", "mirror", "recall"]
    assert routes(hospital, "", "s3://warm-a") == ["archive", "checkpoints", "mirror", "recall"]
    assert routes(hospital, "", "s3://elsewhere") == []
    assert routes(hospital, "warm", "file:///srv/warm") == []
    unchecked = {"mirror": hospital.routes["mirror"].model_copy(update={"copies": 3})}
    unready = hospital.model_copy(update={"routes": {**hospital.routes, **unchecked}})
    assert routes(unready, "warm", "s3://warm-b") == ["archive", "checkpoints", "recall"]


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


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("secret: archive-key", "/etc/tiers/keys/archive-key/storage.key"),
        ("secret: archive-key/of-2026", "/etc/tiers/keys/archive-key/of-2026"),
        ("file: /etc/archive.key", "/etc/archive.key"),
    ],
)
def test_a_task_names_the_file_with_the_key_of_an_encrypted_storage(topology, reference, file):
    cold = {"storage": [{"url": "s3://archive", "encryption": {"key": dict([reference.split(": ")])}}]}
    task = sync_task(topology({"tiers": {"cold": cold}}), "archive")
    assert task.targets[0].key_file == file
    assert task.source.key_file == ""
    assert task.format == 2


def test_a_storage_that_says_none_has_no_key(topology):
    cold = {"storage": [{"url": "s3://archive", "encryption": "none"}]}
    assert sync_task(topology({"tiers": {"cold": cold}}), "archive").targets[0].key_file == ""
