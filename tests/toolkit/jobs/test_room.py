"""What is free on machines: counted as the scheduler counts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from toolkit.jobs.amount import in_words, list_in_words
from toolkit.jobs.room import Holder, Machine, ask_of, machines_for

GPU = "nvidia.com/gpu"


def node(name="n", labels=None, taints=(), **spec):
    size = {GPU: "8", "cpu": "64", "memory": "512Gi", "pods": "110"}
    return {
        "metadata": {"name": name, "labels": {"pool": "a100"} | (labels or {})},
        "spec": {"taints": list(taints), **spec},
        "status": {"allocatable": size},
    }


def pod(node_name, gpus, phase="Running"):
    container = {"resources": {"limits": {GPU: str(gpus)}}}
    return {
        "metadata": {"name": "p", "namespace": "shop", "labels": {}},
        "spec": {"nodeName": node_name, "containers": [container]},
        "status": {"phase": phase},
    }


TEMPLATE = {
    "spec": {
        "nodeSelector": {"pool": "a100"},
        "tolerations": [{"key": "hot", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [
            {"resources": {"requests": {"cpu": "500m"}, "limits": {GPU: "4", "cpu": "1"}}},
            {"resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}},
        ],
        "initContainers": [{"resources": {"requests": {"cpu": "8", "memory": "512Mi"}}}],
    }
}


def test_a_pod_asks_for_its_containers_or_for_a_larger_init_container():
    assert ask_of(TEMPLATE) == {GPU: 4, "cpu": 8, "memory": 2**30, "pods": 1}


def test_an_init_container_that_goes_on_counts_with_all_that_come_after_it():
    beside = {"restartPolicy": "Always", "resources": {"requests": {"cpu": "2", "memory": "512Mi"}}}
    spec = TEMPLATE["spec"]
    with_it = {"spec": {**spec, "initContainers": [beside]}}
    assert ask_of(with_it) == {GPU: 4, "cpu": 4, "memory": 3 * 2**29, "pods": 1}
    before = {"spec": {**spec, "initContainers": [beside, *spec["initContainers"]]}}
    assert ask_of(before) == {GPU: 4, "cpu": 10, "memory": 3 * 2**29, "pods": 1}
    after = {"spec": {**spec, "initContainers": [*spec["initContainers"], beside]}}
    assert ask_of(after) == {GPU: 4, "cpu": 8, "memory": 3 * 2**29, "pods": 1}


@pytest.mark.parametrize(
    ("one", "usable", "away"),
    [
        (node(), 1, ""),
        (node(labels={"pool": "h100"}), 0, ""),
        (node(unschedulable=True), 0, "cordoned"),
        (node(taints=[{"key": "hot", "effect": "NoSchedule"}]), 1, ""),
        (node(taints=[{"key": "hot", "effect": "NoExecute"}]), 0, "taint hot"),
        (node(taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]), 0, "unreachable"),
        (node(taints=[{"key": "slow", "effect": "PreferNoSchedule"}]), 1, ""),
    ],
)
def test_which_machines_take_a_worker(one, usable, away):
    found = machines_for(TEMPLATE, [one], [])
    assert len(found.usable) == usable
    assert away in "".join(found.away.values())


@pytest.mark.parametrize(
    ("operator", "values", "usable"),
    [("In", ["x"], 1), ("In", ["y"], 0), ("NotIn", ["x"], 0), ("Exists", [], 1), ("DoesNotExist", [], 0)],
)
def test_affinity_is_read(operator, values, usable):
    terms = [{"matchExpressions": [{"key": "room", "operator": operator, "values": values}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    template = {"spec": {"affinity": {"nodeAffinity": required}}}
    assert len(machines_for(template, [node(labels={"room": "x"})], []).usable) == usable


def test_pods_that_ended_hold_nothing_and_without_a_holder_there_is_room():
    pods = [pod("n", 2), pod("n", 3), pod("n", 8, "Succeeded"), pod("other", 8)]
    (machine,) = machines_for(TEMPLATE, [node()], pods).usable
    ask = ask_of(TEMPLATE)
    assert machine.free()[GPU] == 3
    assert (machine.slots(ask), machine.slots(ask, [Holder("pod", "shop/p", "shop")])) == (0, 2)


def test_more_taken_than_there_is_leaves_no_room():
    taken = {Holder("pod", "p", "n"): {GPU: Decimal(9)}}
    assert Machine("n", {GPU: Decimal(8)}, taken).slots({GPU: Decimal(1)}) == 0


def test_amounts_in_words():
    found = {
        "cpu": Decimal("1.5"),
        "memory": Decimal(2**30),
        GPU: Decimal(1),
        "fpga": Decimal(2),
        "pods": Decimal(0),
    }
    assert list_in_words(found) == "1 GPU, 1.5 cores, 2 fpga, 1Gi"
    assert in_words("pods", Decimal(1000)) == "1000 pods"
