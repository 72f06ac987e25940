"""Queues as people write them, right and wrong, each with the code that refuses it; empty where it is right.

`TREE` is what stands there already: a queue with shares and one below it, five queues on top of each other, and one
whose place is an annotation.
"""

from __future__ import annotations

from typing import Any

GPU = "nvidia.com/gpu"
PLACE, WEIGHTS = "volcano.sh/hierarchy", "volcano.sh/hierarchy-weights"


def queue(name: str = "corpus-new", *, place: str = "", weights: str = "", **spec: Any) -> dict[str, Any]:
    """Give a queue with this spec and, by annotation, this place."""
    annotations = {PLACE: place, WEIGHTS: weights} if place or weights else {}
    return {
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "Queue",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def shares(guarantee: dict[str, Any], deserved: dict[str, Any]) -> dict[str, Any]:
    return {"guarantee": {"resource": guarantee}, "deserved": deserved}


TREE = [
    queue("corpus-top", capability={GPU: 8}, **shares({GPU: 4}, {GPU: 8})),
    queue("corpus-leaf", parent="corpus-top", **shares({GPU: 2}, {GPU: 4})),
    queue("corpus-1"),
    *(queue(f"corpus-{depth}", parent=f"corpus-{depth - 1}") for depth in range(2, 6)),
    queue("corpus-place", place="root/corpus/deep", weights="1/1/1"),
]

QUEUES: list[tuple[str, dict[str, Any]]] = [
    ("", queue()),
    ("", queue(weight=0)),
    ("", queue(weight=65535, priority=5, dequeueStrategy="fifo", reclaimable=False)),
    ("L123", queue(weight=65536)),
    ("L123", queue(weight="1")),
    ("L123", queue(weight=True)),
    ("L123", queue(priority=-1)),
    ("L123", queue(dequeueStrategy="lifo")),
    ("L123", queue(reclaimable="yes")),
    ("L123", queue("Corpus")),
    ("L123", queue(parent="Corpus-Top")),
    ("", queue(**shares({GPU: 2}, {GPU: 2}), capability={GPU: 2})),
    ("L121", queue(**shares({GPU: 3}, {GPU: 2}))),
    ("L121", queue(**shares({GPU: 3}, {"cpu": 2}))),
    ("L121", queue(deserved={"memory": "2Gi"}, capability={"memory": "1.9Gi"})),
    ("", queue(deserved={"memory": "2Gi"}, capability={"cpu": "500m"})),
    ("L126", queue(capability={GPU: "1500m"})),
    ("L126", queue(capability={GPU: -1})),
    ("L126", queue(capability={"cpu": "many"})),
    ("L126", queue(capability={"cpu": 1.5})),
    ("", queue(capability={"cpu": "1.5", "memory": "1e9"})),
    ("L126", queue(capability={"pods": "1.5"})),
    ("L124", queue(parent="corpus-new")),
    ("L127", queue(parent="corpus-nowhere")),
    ("", queue(parent="corpus-4")),
    ("L127", queue(parent="corpus-5")),
    ("", queue(parent="root")),
    ("", queue(parent="corpus-top", capability={GPU: 8, "cpu": 100})),
    ("L128", queue(parent="corpus-top", capability={GPU: 9})),
    ("L128", queue(parent="corpus-leaf", capability={GPU: 9})),
    ("", queue(parent="corpus-top", **shares({GPU: 2}, {GPU: 4}))),
    ("L129", queue(parent="corpus-top", **shares({GPU: 3}, {GPU: 4}))),
    ("L129", queue(parent="corpus-top", deserved={GPU: 5})),
    ("L129", queue(parent="corpus-top", deserved={"memory": "1Gi"})),
    ("L129", queue(parent="corpus-1", deserved={GPU: 1})),
    ("", queue(place="corpus/other", weights="1/2")),
    ("", queue(place="root/corpus/other", weights="1/1/0.5")),
    ("L130", queue(place="root/corpus/other", weights="1/1")),
    ("L130", queue(place="root/corpus/other", weights="1/1/0")),
    ("L130", queue(place="root/corpus/other", weights="1/1/much")),
    ("L130", queue(weights="1/1")),
    ("L130", queue(place="root/corpus", weights="1/1")),
]
