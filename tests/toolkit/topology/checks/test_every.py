"""Rules that tests/invalid shows once each, here at their edges."""

# ruff: noqa: E501  # a case is one line of a table
from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.topology.checks import every


def test_every_rule_of_the_folder_is_held():
    folder = Path(every.__file__).parent
    written = {
        line.removeprefix("def ").partition("(")[0]
        for file in folder.glob("*.py")
        for line in file.read_text().splitlines()
        if line.startswith("def ") and not line.startswith("def _") and line.endswith("(site: Site) -> None:")
    }
    assert {rule.__name__ for rule in every.RULES} | {"check_everything"} == written


JOB = "jobs:\n  t: {pool: gpu, run: x, gang: {%s}%s}\n"
WEIGHTS = "tiers: {hot: {storage: {url: 'file:///hot', layout: %s}}}\nroutes:\n  r: {from: warm, to: %s, path: p, content: weights%s}\n"
SERVICE = "services:\n  s: {pool: gpu, models: [detector], replicas: {max: %s}, gpus_per_replica: %s}\n"
SCALED = "services:\n  s: {pool: gpu, models: [detector], replicas: {max: 4}, scale: {%s}}\n"
TWO_QUEUES = "queues:\n  a: {tier: hot, guarantee: {gpus: %s}, deserved: {gpus: 16}}\n  b: {tier: hot, guarantee: {gpus: 8}, deserved: {gpus: 8}}\n"
WAVES = "models:\n  detector: {rollout: {waves: [%s], abort_if: {p99: '>1s'}}}\n"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        # the first storage of the target counts, and of copies those besides the source
        (WEIGHTS % ("packs", "hot", ""), []),
        (WEIGHTS % ("mirror", "hot", ""), ["E0534"]),
        (WEIGHTS % ("packs", "warm", ", copies: 2"), ["E0534"]),
        # a worker never spans machines: 3 GPUs fit twice into 8
        (JOB % ("workers: 4, gpus_per_worker: 3", ""), []),
        (JOB % ("workers: 5, gpus_per_worker: 3", ""), ["E0503"]),
        # only the minimum has to fit at once
        (JOB % ("workers: 99, gpus_per_worker: 8, min: 2", ""), ["W0703"]),
        # 12 GPUs of capability
        (JOB % ("workers: 12, gpus_per_worker: 1", ", queue: research"), []),
        (JOB % ("workers: 13, gpus_per_worker: 1", ", queue: research"), ["E0507"]),
        ("jobs:\n  t: {pool: boxes, run: x, gang: {workers: 1}}\n", ["E0519"]),
        ("tiers: {hot: {pools: {none: {hardware: cpu-node, nodes: {count: 0}}}}}\njobs:\n  t: {pool: none, run: x, gang: {workers: 1}}\n", ["E0503"]),
        # pods are called JOB-worker-N: 63 characters in all
        (f"jobs:\n  {'j' * 54}: {{pool: gpu, run: x, gang: {{workers: 10}}}}\n", []),
        (f"jobs:\n  {'j' * 54}: {{pool: gpu, run: x, gang: {{workers: 11}}}}\n", ["E0601"]),
        (SERVICE % (16, 1), []),
        (SERVICE % (5, 3), ["E0520"]),
        (SERVICE % (99, 0), []),
        (TWO_QUEUES % 8, []),
        (TWO_QUEUES % 9, ["E0506"]),
        ("queues:\n  q: {tier: hot, guarantee: {memory: 2GiB}, deserved: {memory: 1GiB}}\n", ["E0505"]),
        ("queues:\n  q: {tier: hot, guarantee: {cpus: 2}}\n", ["E0505"]),
        ("queues:\n  q: {tier: hot, deserved: {cpus: 4}, capability: {cpus: 2}}\n", ["E0505"]),
        ("tiers: {warm: {pools: {disks: {gpu: {share: mps}}}}}\n", ["E0524"]),
        (SCALED % "queue: {out: 9, in: 1}, timezone: Europe/Berlin", []),
        (SCALED % "queue: {out: 9, in: 1}, timezone: Europe/Berln", ["E0308"]),
        # nothing is measured, so nobody has to be asked and nothing has to shrink
        (SCALED % "peaks: [{days: sat, from: '22:00', to: '06:00', at_least: 2}]", []),
        (SCALED % "p95: {out: 5s}, gpu: {out: 80%}", []),
        (SCALED % "p95: {out: 5s}", ["E0885"]),
        (SCALED % "errors: {out: 1%}", ["E0885"]),
        (SCALED % "queue: {out: 9, in: 1}, by: hpa", []),
        ("broker: {credentials: {secret: 'hunter2!'}}\n", ["E0311"]),
        ("broker: {credentials: {env: 'hunter 2'}}\n", ["E0311"]),
        ("broker: {credentials: {secret: broker-login/password}}\n", []),
        (WAVES % "1, 50%, 100%", []),
        (WAVES % "50%, 50%, 100%", ["E0513"]),
        (WAVES % "2, 1, 100%", ["E0513"]),
        (WAVES % "2", ["E0514"]),
        # a circle is named once, and a model that falls into it from outside is not part of it
        ("models:\n  a: {source: a@1, fallback: b}\n  b: {source: b@1, fallback: c}\n  c: {source: c@1, fallback: b}\n", ["E0515"]),
        ("models:\n  a: {source: a@1, pools: [boxes], fallback: detector}\n", []),
        ("models: {detector: {offload: edge}}\n", ["E0517"]),
        ("routes: {r: {from: edge, to: hot, path: x, copies: 2}}\n", ["E0511"]),
        ("routes: {r: {from: edge, to: hot, path: x, every: 1h, trigger: demand}}\n", ["E0206"]),
        ("broker: {url: 'mqtt://127.0.0.1:1883'}\n", []),
        ("broker: {url: 'mqtt://localhost.example'}\n", ["W0702"]),
        ("clusters: {other: {context: x, tiers: [hot]}}\n", ["E0525"]),
        ("clusters: {other: {context: x}}\n", ["E0525"]),
        ("clusters: {other: {context: x, pools: [boxes]}}\n", []),
        ("clusters: {other: {context: x, pools: [boxes]}, third: {context: y, pools: [boxes]}}\n", ["E0525"]),
        ("clusters: {other: {context: x, pools: [box]}}\n", ["E0401"]),
        ("tiers: {edge: {pools: {boxes: {gpus: 2}}}}\n", ["E0524"]),
        ("tiers: {hot: {pools: {gpu: {settings: {hold: true}, devices: {gpu-001: {hold: true}}}}}}\n", ["E0527", "E0527"]),
        ("tiers: {edge: {pools: {nanos: {nodes: {count: 0}}}}}\n", []),
        (f"tiers: {{edge: {{pools: {{{'p' * 41}: {{hardware: cpu-node, nodes: {{count: 1}}}}}}}}}}\n", ["E0602"]),
    ],
)  # fmt: skip
def test_the_edges_of_rules(over_site, text, codes):
    from toolkit.errors import TopologyError

    try:
        found = over_site(text).warnings
    except TopologyError as error:
        found = error.problems
    assert [problem.code for problem in found] == codes
