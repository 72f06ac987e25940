"""Where things run, how large they are, and the reasons in words."""

from __future__ import annotations

import pytest

from toolkit.placement import (
    DEFAULT_QUEUE,
    OUTAGE_TAINTS,
    Toleration,
    cluster_wide_name,
    fitted_name,
    place_job,
    place_model,
    place_pool,
    place_service,
    worker_size,
)

GIB = 2**30


def test_devices_are_known_by_labels_and_never_moved(hospital):
    placement = place_pool(hospital, hospital.pool("ultrasound"))
    assert placement.node_selector == {
        "kubernetes.io/arch": "arm64",
        "node-role.kubernetes.io/edge": "",
        "tiers.dev/tier": "edge",
        "tiers.dev/pool": "ultrasound",
        "site": "north",
    }
    assert (placement.cluster, placement.namespace, placement.tier) == ("main", "medical-imaging", "edge")
    assert not placement.off_edge
    for taint in OUTAGE_TAINTS:
        assert Toleration(taint, effect="NoExecute") in placement.tolerations


def test_devices_with_names_need_no_labels_of_ours(hospital):
    placement = place_pool(hospital, hospital.pool("endoscopy"))
    assert placement.nodes == ("endo-01", "endo-02")
    assert set(placement.node_selector) == {"kubernetes.io/arch", "node-role.kubernetes.io/edge"}
    assert any("endo-01, endo-02" in reason for reason in placement.reasons)


def test_a_gang_stays_off_the_edge_and_on_one_kind_of_gpu(hospital):
    placement = place_job(hospital, "seg3d")
    assert placement.off_edge
    assert placement.node_selector["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-80GB"
    assert placement.node_selector["tiers.dev/tier"] == "hot"
    assert Toleration("nvidia.com/gpu", effect="NoSchedule") in placement.tolerations
    assert not {each.key for each in placement.tolerations} & set(OUTAGE_TAINTS)
    assert placement.queue == "medical-imaging-research"
    assert placement.priority_class == "medical-imaging-batch"


def test_every_condition_has_a_reason(hospital):
    reasons = "\n".join(place_job(hospital, "seg3d").reasons)
    for word in (
        "tier hot, pool a100",
        "tiers.dev/pool=a100",
        "never on a node",
        "NVIDIA-A100",
        "research",
        "batch (1000)",
    ):
        assert word in reasons


def test_a_job_without_a_queue_waits_in_volcanos_own(topology):
    placement = place_job(topology({"jobs": {"seg3d": {"queue": None, "priority": None}}}), "seg3d")
    assert (placement.queue, placement.priority_class) == (DEFAULT_QUEUE, "")


def test_shared_gpus_lose_the_product_label_that_sharing_renames(topology):
    gpu = {"tiers": {"hot": {"pools": {"a100": {"gpu": {"share": "timeslice"}}}}}}
    shared = topology({**gpu, "jobs": {"seg3d": None, "digits": None}})  # a gang takes whole GPUs
    assert "nvidia.com/gpu.product" in place_service(topology(), "medical-ai").node_selector
    assert "nvidia.com/gpu.product" not in place_service(shared, "medical-ai").node_selector


def test_what_a_pool_adds_is_added(topology):
    taint = {"key": "team", "value": "radiology", "effect": "NoSchedule"}
    extra = {"labels": {"zone": "a"}, "tolerations": [taint]}
    changed = topology({"tiers": {"hot": {"pools": {"a100": {"placement": extra}}}}})
    placement = place_job(changed, "seg3d")
    assert placement.node_selector["zone"] == "a"
    assert Toleration("team", "radiology", "NoSchedule") in placement.tolerations


def test_a_model_goes_to_each_of_its_pools(topology):
    changed = topology({"models": {"us-segmentation-lite": {"pools": ["ultrasound", "endoscopy"]}}})
    placements = place_model(changed, "us-segmentation-lite")
    assert [placement.pool for placement in placements] == ["endoscopy", "ultrasound"]
    assert all("desired state" in placement.reasons[-1] for placement in placements)


def test_a_worker_takes_its_part_of_a_machine(topology):
    pool = {"cpus": 128, "memory": "1024GiB"}
    changed = topology(
        {"tiers": {"hot": {"pools": {"a100": pool}}}, "jobs": {"seg3d": {"gang": {"gpus_per_worker": 4}}}}
    )
    size = worker_size(changed, "seg3d")
    assert (size.gpus, size.cpus) == (4, 57)  # nine tenths of 128, one half of it
    assert size.memory == 471859 * 2**20  # nine tenths of 1 TiB, one half of it, in whole MiB
    assert size.shared_memory == size.memory // 4 // 2**20 * 2**20


def test_a_worker_of_a_machine_of_unknown_size_gets_a_careful_guess(hospital):
    size = worker_size(hospital, "seg3d")
    assert (size.gpus, size.cpus, size.memory) == (8, 64, 512 * GIB)
    assert "guess" in " ".join(size.reasons)


def test_what_tiers_yaml_says_is_taken(topology):
    gang = {"cpus_per_worker": 3, "memory_per_worker": "5GiB"}
    size = worker_size(topology({"jobs": {"seg3d": {"gang": gang}}}), "seg3d")
    assert (size.cpus, size.memory) == (3, 5 * GIB)


@pytest.mark.parametrize(("workers", "cpus"), [(8, 14), (16, 7), (9, 7)])
def test_workers_without_gpus_share_machines_evenly(topology, workers, cpus):
    changed = topology(
        {
            "tiers": {"cold": {"pools": {"nlp": {"cpus": 16}}}},
            "jobs": {
                "seg3d": {"pool": "nlp", "queue": None, "gang": {"workers": workers, "gpus_per_worker": 0}}
            },
        }
    )
    assert worker_size(changed, "seg3d").cpus == cpus


def test_names_fit_into_labels_and_stay_apart():
    long = [fitted_name("tiers-edge", letter * 40, "jetson-orin-nx") for letter in "ab"]
    assert [len(name) for name in long] == [63, 63]
    assert long[0] != long[1]
    assert fitted_name("a", "b") == "a-b"


def test_two_topologies_keep_their_queues_apart(topology):
    other = topology({"name": "factory"})
    assert cluster_wide_name(other, "research") == "factory-research"
