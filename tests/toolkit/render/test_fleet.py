"""Ten thousand devices are as many objects as their pools are, none of them larger than a cluster keeps."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks.fleet import ALLOWED_OBJECTS, DEVICES, OWN_SETTINGS, POOLS, write_counted, write_named
from toolkit.errors import RenderError
from toolkit.render.objects import LARGEST_OBJECT, render
from toolkit.topology.load import load


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    topology = load([write_named(tmp_path_factory.mktemp("named"))]).topology
    return topology, render(topology)


@pytest.mark.parametrize("write", [write_counted, write_named])
def test_ten_thousand_devices_in_forty_pools_are_few_objects(write, tmp_path):
    topology = load([write(tmp_path)]).topology
    assert len(list(topology.pools())) == POOLS
    assert sum(placed.pool.nodes.total for placed in topology.pools()) == DEVICES
    objects = render(topology)
    assert POOLS * 3 <= len(objects) <= ALLOWED_OBJECTS
    assert max(len(msgspec.json.encode(each.body)) for each in objects) <= LARGEST_OBJECT


def test_each_device_is_named_once_and_has_the_disk_of_its_row(named):
    topology, objects = named
    bodies = {(each.kind, each.name): each.body for each in objects}
    placed = topology.pool("pool-07")
    name = f"tiers-edge-pool-07-{placed.pool.hardware}"
    affinity = bodies["DaemonSet", name]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert sorted(expression["values"]) == sorted(placed.node_names)
    data = bodies["ConfigMap", name]["data"]
    files = json.loads(data["devices.json"])["files"]
    for number, device in enumerate(placed.node_names):
        disk = OWN_SETTINGS[number % len(OWN_SETTINGS)][0]
        found = json.loads(data[files.get(device, "config.json")])["disk_budget_bytes"]
        assert found == int(disk.removesuffix("GiB") or "8") * 2**30


def test_a_pool_whose_names_no_object_holds_is_refused_with_the_cure(topology):
    names = [f"device-{number:05d}." + ".".join(["a-long-name-of-a-hospital"] * 5) for number in range(8000)]
    changed = topology(
        {"tiers": {"edge": {"pools": {"endoscopy": {"nodes": {"names": names}, "devices": None}}}}}
    )
    with pytest.raises(
        RenderError, match=r"endoscopy would have \d{7} bytes, a cluster keeps 1048576"
    ) as refused:
        render(changed)
    assert "divide tiers.edge.pools.endoscopy" in refused.value.hint
