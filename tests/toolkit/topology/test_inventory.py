from __future__ import annotations

import time
from pathlib import Path

import pytest

from toolkit.errors import TopologyError
from toolkit.topology.explain import explain
from toolkit.topology.load import load
from toolkit.topology.units import Rate

SITE = Path(__file__).resolve().parents[2] / "invalid" / "site.yaml"


@pytest.fixture
def with_inventory(tmp_path):
    def loaded(rows: str, over: str = "inventory: devices.csv\n"):
        (tmp_path / "over.yaml").write_text(over)
        (tmp_path / "devices.csv").write_text(rows)
        return load([SITE, tmp_path / "over.yaml"])

    return loaded


def problems(with_inventory, rows: str, over: str = "inventory: devices.csv\n") -> list[str]:
    with pytest.raises(TopologyError) as caught:
        with_inventory(rows, over)
    return [
        f"{Path(p.place.where).name}:{p.place.line}:{p.place.column} {p.code}" for p in caught.value.problems
    ]


def test_rows_become_devices_of_their_pools_with_settings(with_inventory):
    loaded = with_inventory("name,pool,download,hold\nbox-8,boxes,,\nbox-9,boxes,2MiB/s,true\n\n")
    placed = loaded.topology.pool("boxes")
    assert placed.node_names == ("box-1", "box-2", "box-8", "box-9")
    settings = loaded.topology.settings_of(placed, "box-9")
    assert (settings.download, settings.hold) == (Rate.parse("2MiB/s"), True)
    assert loaded.topology.settings_of(placed, "box-8").download is None
    (found,) = explain(loaded, "tiers.edge.pools.boxes.devices.box-9.download")
    assert (Path(found.place.where).name, found.place.line, found.place.column) == ("devices.csv", 3, 13)


def test_a_pool_may_have_all_its_devices_in_the_inventory(with_inventory):
    over = "inventory: devices.csv\ntiers: {edge: {pools: {carts: {hardware: jetson-orin-nx}}}}\n"
    loaded = with_inventory("pool,name\ncarts,cart-1\n", over)
    assert loaded.topology.pool("carts").node_names == ("cart-1",)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("name,room\nbox-9,1\n", ["devices.csv:1:1 E0118"]),
        ("name,pool\nbox-9\n", ["devices.csv:2:1 E0118"]),
        ("name,pool\nbox-9,boxs\n", ["devices.csv:2:7 E0401"]),
        ("name,pool\nbox-1,boxes\n", ["devices.csv:2:1 E0502"]),
        ("name,pool\nBox 9,boxes\n", ["devices.csv:2:1 E0316"]),
        ("name,pool,downlod\nbox-9,boxes,1MiB/s\n", ["devices.csv:1:11 E0201"]),
        ("name,pool,download\nbox-9,boxes,1\n", ["devices.csv:2:13 E0303"]),
        ('name,pool\n"box-9,boxes\n', ["over.yaml:1:12 E0118"]),
        ("", ["over.yaml:1:12 E0118"]),
        ("name,pool\nnano-9,nanos\n", ["site.yaml:13:51 E0206"]),
    ],
)
def test_what_is_wrong_in_the_inventory_is_found_there(with_inventory, rows, found):
    assert problems(with_inventory, rows) == found


def test_a_file_that_is_not_there_is_named(with_inventory):
    assert problems(with_inventory, "", "inventory: nowhere.csv\n") == ["over.yaml:1:12 E0118"]


def test_a_name_that_looks_like_a_number_stays_a_name(with_inventory):
    assert "17" in with_inventory("name,pool\n17,boxes\n").topology.pool("boxes").node_names


def test_ten_thousand_devices_are_no_trouble(with_inventory):
    """Every device with a setting of its own; work that grows with the square would take minutes."""
    rows = "".join(f"dev-{number},boxes,{number + 1}kB/s\n" for number in range(10_000))
    before = time.process_time()
    loaded = with_inventory(f"name,pool,download\n{rows}")
    assert time.process_time() - before < 10
    assert loaded.topology.pool("boxes").pool.nodes.total == 10_002
