from __future__ import annotations

import pytest
from pydantic import ValidationError

from toolkit.topology.topology import PlacedPool
from toolkit.topology.units import Bytes, Duration, Rate


def test_pools_know_their_tier_and_hardware(hospital):
    placed = hospital.topology.pool("a100")
    assert isinstance(placed, PlacedPool)
    assert (placed.tier_name, placed.gpus_per_node, placed.gpus) == ("hot", 8, 48)
    assert placed.hardware.gpu_product == "NVIDIA-A100-SXM4-80GB"
    with pytest.raises(KeyError):
        hospital.topology.pool("a1000")


def test_a_jetson_has_one_gpu_without_saying_so(hospital):
    assert hospital.topology.pool("ultrasound").gpus == 120
    assert hospital.topology.pool("nlp").gpus == 0


def test_devices_have_names(hospital):
    names = hospital.topology.pool("ultrasound").node_names
    assert (names[0], names[-1], len(names)) == ("ultrasound-001", "ultrasound-120", 120)
    assert hospital.topology.pool("endoscopy").node_names == ("endo-01", "endo-02")


def test_names_of_many_devices_sort_like_their_numbers(over_site):
    many = (
        over_site("tiers: {edge: {pools: {nanos: {nodes: {count: 12000}}}}}\n")
        .topology.pool("nanos")
        .node_names
    )
    assert list(many) == sorted(many)
    assert many[0] == "nanos-00001"


def test_settings_of_a_device_come_from_three_places(hospital):
    topology = hospital.topology
    placed = topology.pool("endoscopy")
    assert topology.settings_of(placed, "endo-02").download == Rate.parse("2MiB/s")
    assert topology.settings_of(placed, "endo-01").download is None
    assert topology.settings_of(placed, "endo-01").upload == Rate.parse("20MiB/s")
    assert topology.settings_of(placed).disk == Bytes.parse("8GiB")


def test_the_image_of_the_daemon(over_site):
    topology = over_site(
        "images: {runtimes: {onnxruntime: 'registry.example/cpu:1'}}\n"
        "hardware: {old: {arch: arm64, gpus: 1, runtime: onnxruntime}}\n"
        "tiers: {edge: {pools: {nanos: {hardware: old}, odd: {hardware: old, image: 'x/y:1', nodes: {count: 1}}}}}\n"
    ).topology
    images = {
        placed.name: topology.edge_image(placed) for placed in topology.pools() if placed.tier_name == "edge"
    }
    assert images == {"boxes": "registry.example/edge:1", "nanos": "registry.example/cpu:1", "odd": "x/y:1"}


def test_clusters_and_namespaces(over_site, hospital):
    assert {hospital.topology.cluster_of(placed) for placed in hospital.topology.pools()} == {"main"}
    assert hospital.topology.namespace("main") == "medical-imaging"
    assert over_site("clusters: {main: {namespace: ours}}\n").topology.namespace("main") == "ours"
    elsewhere = hospital.topology.pool("nlp")
    with pytest.raises(KeyError):
        over_site("alerts: {queue: 1}\n").topology.cluster_of(elsewhere)


def test_a_site_s_own_profile_beats_a_known_one(over_site):
    loaded = over_site("hardware: {jetson-orin-nano: {arch: arm64, memory: 4GiB, gpus: 1}}\n")
    assert loaded.topology.pool("boxes").hardware.memory == Bytes.parse("4GiB")


def test_routes_run_by_the_clock_unless_on_demand(hospital):
    routes = hospital.topology.routes
    assert routes["frames"].cadence == Duration.parse("10m")
    assert routes["archive"].cadence == Duration.parse("1h")
    assert routes["recall"].cadence is None


def test_models_and_jobs_answer_short_questions(hospital):
    topology = hospital.topology
    assert list(topology.models_on("ultrasound")) == ["us-segmentation", "us-segmentation-lite"]
    assert topology.models_on("endoscopy") == {}
    assert topology.models["us-segmentation"].artifact == "us-segmentation"
    job = topology.jobs["seg3d"]
    assert job.gang.minimum == 4
    assert job.run == ("python", "-m", "cloud_jobs.train", "--recipe", "seg3d")
    assert [(cause.kind, cause.exit_code) for cause in job.retry.after] == [("evicted", None), ("exit", 143)]
    login = topology.broker.credentials
    assert (login.name, login.key) == ("broker-login", None)


def test_a_topology_cannot_be_changed(hospital):
    with pytest.raises(ValidationError):
        hospital.topology.name = "other"


EVERYTHING = """
inventory: devices.csv
hardware: {box: {arch: arm64, cpus: 4, memory: 8GiB, gpus: 1, compute_capability: 8.7, jetpack: 6, runtime: tensorrt}}
tiers:
  edge:
    pools:
      carts:
        hardware: box
        nodes: {names: [cart-1], labels: {example.com/site: north}}
        devices: {cart-1: {hold: true, install_window: {days: sat-sun, opens: "22:00", closes: "04:00"}}}
  hot:
    pools:
      gpu:
        gpu: {share: vgpu, replicas: 2, memory: 40GiB}
        spot: {provider: gke}
        placement: {labels: {rack: a1}, tolerations: [{key: team, value: imaging, effect: NoSchedule}]}
monitoring: {kind: operator, url: "http://prometheus.monitoring:9090", labels: {release: prometheus}}
network: {lines: [{from: edge, to: hot, rate: 100Mbit/s, latency: 20ms}]}
prices: {currency: EUR, machine_hour: {gpu: 12.5}, gib_month: {warm: 0.02}}
"""


def test_every_optional_key_is_taken(over_site, tmp_path):
    (tmp_path / "devices.csv").write_text("name,pool\n")
    loaded = over_site(EVERYTHING.replace("devices.csv", str(tmp_path / "devices.csv")))
    topology = loaded.topology
    placed = topology.pool("carts")
    window = topology.settings_of(placed, "cart-1").install_window
    assert (str(window.days), str(window.opens), str(window.closes)) == ("sat-sun", "22:00", "04:00")
    assert topology.pool("gpu").pool.gpu.memory == Bytes.parse("40GiB")
    assert topology.pool("gpu").pool.placement.tolerations[0].value == "imaging"
    assert topology.network.lines[0].rate == Rate.parse("100Mbit/s")
    assert topology.prices.machine_hour == {"gpu": 12.5}
    assert topology.monitoring.kind == "operator"


def test_a_pool_may_be_in_another_cluster_than_its_tier(over_site):
    topology = over_site(
        "clusters: {north: {context: n, pools: [nanos]}}\n"
        "tiers: {edge: {pools: {nanos: {hardware: jetson-orin-nano, nodes: {count: 3}}}}}\n"
    ).topology
    (own,) = topology.pools_in("north")
    assert (own.name, topology.cluster_of(own), topology.tiers_in("north")) == ("nanos", "north", {"edge"})
    others = [placed for placed in topology.pools() if placed.name != "nanos"]
    assert {topology.cluster_of(placed) for placed in others} == {"main"}
    assert list(topology.pools_in("main")) == others
