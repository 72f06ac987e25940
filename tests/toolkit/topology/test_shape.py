"""One wrong line does not hide another: what is wrong is cut out, and the rest is still checked."""

# ruff: noqa: E501  # a case is one line of a table
from __future__ import annotations

import pytest

from toolkit.errors import TopologyError
from toolkit.topology.load import load_texts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # a wrong key beside a wrong reference in one job
        ("jobs:\n  a: {pol: gpu, queue: nope, gang: {workers: 1}, run: x}\n",
         ["2:3 E0202 'pool' is missing in jobs.a",
          "2:7 E0201 'pol' is not a key of jobs.a; did you mean 'pool'?",
          "2:24 E0403 there is no queue 'nope'"]),
        # a command that cannot be split does not hide that the gang is too large
        ("jobs:\n  a:\n    pool: gpu\n    gang: {workers: 9, gpus_per_worker: 8}\n    run: 'x \"'\n",
         ["4:21 E0503 9 workers with 8 GPUs each: 'gpu' has room for 2 (2 machines with 8 GPUs)",
          "5:10 E0319 the command cannot be split: No closing quotation"]),
        # several missing keys of one noun
        ("jobs:\n  a: {}\n",
         ["2:3 E0202 'pool' is missing in jobs.a", "2:3 E0202 'gang' is missing in jobs.a",
          "2:3 E0202 'run' is missing in jobs.a"]),
        # a key in the wrong noun
        ("models:\n  detector: {canary: 2, ttl: 7d}\n",
         ["2:14 E0201 'canary' is not a key of models.detector; it belongs into 'rollout'",
          "2:25 E0201 'ttl' is not a key of models.detector"]),
        # keys that get a stand-in where they belong, in a noun where they do not
        ("alerts: {path: x, run: y}\n", ["1:10 E0201 'path' is not a key of alerts", "1:19 E0201 'run' is not a key of alerts"]),
        # what is missing at the top does not hide the rest
        ("broker: {ulr: x}\nalerts: {p99: 5}\n",
         ["1:10 E0201 'ulr' is not a key of broker", "2:15 E0304 '5' has no unit; a duration is written like 30m"]),
        ("tiers:\n  cloud: {}\n", ["2:3 E0301 'cloud' is not edge, hot, warm or cold; did you mean 'cold'?"]),
        ("tiers: 3\nalerts: {p99: 5}\n",
         ["1:8 E0204 'tiers' takes keys and values, not '3'", "2:15 E0304 '5' has no unit; a duration is written like 30m"]),
        ("jobs: [a]\n", ["1:7 E0204 'jobs' takes keys and values, not a list"]),
        ("models:\n  detector: {pools: boxes}\n", ["2:21 E0204 'pools' takes a list, not 'boxes'"]),
        ("alerts: {queue: 1.5}\n", ["1:17 E0204 'queue' takes a whole number, not '1.5'"]),
        ("alerts: {queue: true}\n", ["1:17 E0204 'queue' takes a whole number, not 'true'"]),
        ("alerts: {queue: 0}\n", ["1:17 E0309 'queue' should be greater than or equal to 1"]),
        ("queues:\n  research: {reclaimable: 1}\n", ["2:27 E0204 'reclaimable' takes true or false, not '1'"]),
        ("clusters:\n  main: {tiers: []}\n", ["site.yaml:6:12 E0525 the cluster 'main' has neither tiers nor pools"]),
        ("models:\n  detector: {accuracy: {metric: 1.10, at_least: .nan}}\n",
         ["2:33 E0204 'metric' takes a text, not '1.10'", "2:49 E0204 'at_least' takes a number, not '.nan'"]),
        ("models:\n  detector: {pools: [boxes, ]}\njobs:\n", ["3:1 E0203 'jobs' has no value"]),
        ("models:\n  detector: {pools: [~]}\n", ["2:22 E0203 this item has no value"]),
        ("tiers:\n  warm: {storage: [{url: x}]}\n",
         ["2:26 E0310 'x' does not start with file:// or s3:// or sftp://"]),
        ("tiers:\n  edge: {storage: {url: 'file://host/x'}}\n",
         ["2:25 E0310 'file://host/x' is not a folder of this machine: write file:///absolute/path"]),
        ("broker: {credentials: {secret: a, env: B}}\n",
         ["1:23 E0206 a reference to a secret names exactly one of secret, file and env"]),
        ("jobs:\n  a: {pool: gpu, gang: {workers: 1}, run: x, env: {N: 3, DB_PASSWORD: {secert: a}}}\n",
         ["2:55 E0204 'N' takes a text, not '3'", "2:72 E0201 'secert' is not a key of jobs.a.env.DB_PASSWORD; did you mean 'secret'?"]),
        ("jobs:\n  a: {pool: gpu, gang: {workers: 1}, run: x, env: {DB_PASSWORD: hunter2}}\n",
         ["2:65 E0311 'DB_PASSWORD' is a secret that is written out"]),
        ("hardware:\n  mine: {compute_capability: 8}\n",
         ["2:30 E0309 'compute_capability' should be two numbers with a point, such as 8.7"]),
        ("routes:\n  a b: {from: edge, to: hot, path: x}\n",
         ["2:3 E0316 'a b' is not a name: use 1 to 63 of a-z, 0-9 and -, not - at an end"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_reported_and_nothing_that_only_follows(problems_of, text, found):
    assert problems_of(text) == found


def test_a_file_without_anything_that_a_site_needs_names_all_of_it():
    with pytest.raises(TopologyError) as caught:
        load_texts({"f.yaml": "alerts: {p99: 5}\n"})
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yaml:1:1 E0202 'version' is missing at the top of the file",
        "f.yaml:1:1 E0202 'name' is missing at the top of the file",
        "f.yaml:1:1 E0202 'registry' is missing at the top of the file",
        "f.yaml:1:1 E0202 'broker' is missing at the top of the file",
        "f.yaml:1:1 E0202 'clusters' is missing at the top of the file",
        "f.yaml:1:1 E0202 'images' is missing at the top of the file",
        "f.yaml:1:1 E0202 'tiers' is missing at the top of the file",
        "f.yaml:1:15 E0304 '5' has no unit; a duration is written like 30m",
    ]


def test_own_hardware_may_be_written_like_a_number(over_site):
    loaded = over_site("hardware:\n  mine: {compute_capability: 8.7, memory: 8GiB}\n")
    assert loaded.topology.hardware["mine"].compute_capability == "8.7"
