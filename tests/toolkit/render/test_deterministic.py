"""Equal topologies give equal bytes: in another process, place, language, time zone, and order of mappings."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolkit.render.graph import draw
from toolkit.render.objects import render
from toolkit.render.stream import to_stream
from toolkit.topology.load import load_texts

REPOSITORY = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from toolkit.render.graph import draw
from toolkit.render.lock import Lock
from toolkit.render.objects import render
from toolkit.render.stream import to_stream
from toolkit.topology.load import load
topology = load([Path(sys.argv[1])]).topology
lock = Lock(images={"registry.example/tiers-edge:1.0": "sha256:" + "a" * 64})
sys.stdout.buffer.write((to_stream(render(topology, lock)) + draw(topology)).encode())
"""
PLACES = [
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"},
    {"PYTHONHASHSEED": "4711", "TZ": "America/St_Johns", "LANG": "C", "LC_ALL": "POSIX"},
    {"PYTHONHASHSEED": "random", "TZ": "", "LANG": "", "PYTHONOPTIMIZE": "1"},
]


def shuffled(value: object, chance: random.Random) -> object:
    """Give the same document with its mappings in another order; lists keep theirs."""
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(each, chance) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def document(hospital_text):
    """Give a hospital with several of everything, so that an order can be wrong."""
    document = yaml.safe_load(hospital_text.replace("20:00", "20:01"))
    edge = document["tiers"]["edge"]["pools"]
    edge["dental"] = {
        "hardware": "jetson-agx-orin",
        "nodes": {"names": ["dent-2", "dent-1"], "labels": {"b": "1", "a": "2"}},
    }
    edge["ultrasound"]["devices"] = {"ultrasound-003": {"disk": "3GiB"}, "ultrasound-001": {"disk": "1GiB"}}
    document["models"]["polyp"] = {"source": "polyp@1.0.0", "pools": ["endoscopy", "dental"]}
    document["queues"]["care"] = {"tier": "hot", "capability": {"gpus": 8, "cpus": 64, "memory": "1TiB"}}
    second = dict(document["jobs"]["seg3d"])
    second["env"] = {"B": "1", "A": {"secret": "store/key"}, "C": "$(X)"}
    document["jobs"]["retrain"] = second | {"retry": {"attempts": 9, "after": ["exit:9", "exit:3", "failed"]}}
    document["routes"]["reports"] = {"from": "edge", "to": "warm", "path": "reports"}
    return document


def in_this_process(document: object) -> str:
    topology = load_texts({"site.yaml": json.dumps(document)}).topology
    return to_stream(render(topology)) + draw(topology)


def rendered(document: object, folder: Path, changes: dict[str, str]) -> bytes:
    folder.mkdir()
    (folder / "site.yaml").write_text(json.dumps(document))
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}
    command = [sys.executable, "-c", PROGRAM, "site.yaml"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.slow
def test_other_processes_and_other_orders_give_the_same_bytes(document, tmp_path):
    first = rendered(document, tmp_path / "first", {"PYTHONHASHSEED": "0"})
    assert first.count(b"---\n# ") == 30
    for number, place in enumerate(PLACES):
        other = shuffled(document, random.Random(number))
        assert json.dumps(other) != json.dumps(document)
        assert rendered(other, tmp_path / f"place {number}", place) == first


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_mappings_means_nothing(document, seed):
    assert in_this_process(shuffled(document, random.Random(seed))) == in_this_process(document)


def test_the_order_of_names_of_nodes_means_nothing(document):
    names = document["tiers"]["edge"]["pools"]["dental"]["nodes"]["names"]
    before = in_this_process(document)
    names.reverse()
    assert in_this_process(document) == before
