"""Training opens shards that come ahead of need: the rendered command beside a program that reads epochs through it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from cloud_jobs import reads
from cloud_jobs.reads import NotReadyError, ready
from tests.toolkit.sync.trees import storage
from toolkit.sync.task import SyncTask, encode_tasks
from toolkit.wire.job import DATA_VARIABLE, READS_VARIABLE

SHARDS, SIZE = 8, 20_000
TRAINER = """
import hashlib, sys
from cloud_jobs.reads import ready
for name in sys.argv[1:]:
    with open(ready(name), "rb") as shard:
        print(name, hashlib.sha256(shard.read()).hexdigest(), flush=True)
"""


@pytest.fixture
def site(tmp_path):
    """Give a folder with shards in warm, nothing in hot, and the tasks that lead from one to the other."""
    draw = random.Random(7)
    folder = tmp_path / "warm/datasets/seg3d"
    folder.mkdir(parents=True)
    for number in range(SHARDS):
        (folder / f"shard-{number}.tar").write_bytes(draw.randbytes(SIZE))
    task = SyncTask(
        route="seg3d-ahead",
        source=storage(tmp_path / "warm"),
        targets=(storage(tmp_path / "hot"),),
        path="datasets/seg3d",
    )
    (tmp_path / "tasks.json").write_bytes(encode_tasks([task]))
    return tmp_path


@contextmanager
def beside(site, reader="0", ahead=3, budget=3 * SIZE):
    """Run what the pod runs beside the worker; its last line, and its exit code, are in the list that comes back."""
    command = [sys.executable, "-m", "cloud_jobs.prefetch", str(site / "tasks.json")]
    command += ["--ahead", str(ahead), "--budget", str(budget), "--reader", reader]
    command += ["--socket", str(site / f"reads-{reader}.sock")]
    ended = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield ended
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=120)
            ended += [json.loads(out.splitlines()[-1])["done"] if out else err.decode(), process.returncode]


def environment(site, reader="0"):
    return {
        DATA_VARIABLE: str(site / "hot/datasets/seg3d"),
        READS_VARIABLE: str(site / f"reads-{reader}.sock"),
    }


def train(site, names, reader="0"):
    done = subprocess.run(
        [sys.executable, "-c", TRAINER, *names],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment(site, reader),
    )
    return [line.split()[0] for line in done.stdout.splitlines()]


def there(site):
    return sorted(path.name for path in (site / "hot/datasets/seg3d").glob("*.tar"))


def epoch(seed):
    names = [f"shard-{number}.tar" for number in range(SHARDS)]
    random.Random(seed).shuffle(names)
    return names


@pytest.mark.slow
def test_an_epoch_is_read_and_its_order_serves_the_next_job(site):
    order = epoch(3)
    with beside(site, ahead=0, budget=0) as first:
        assert train(site, order) == order
    tally, code = first
    assert (code, tally["asked"], tally["there"]) == (0, SHARDS, 0)
    assert not (site / "reads-0.sock").exists()
    for name in order[1:]:
        (site / "hot/datasets/seg3d" / name).unlink()
    with beside(site) as second:
        ready(order[0], environ=environment(site))
        pause = threading.Event()
        for _ in range(6000):
            if len(there(site)) >= 4:
                break
            pause.wait(0.01)
    tally, code = second
    assert there(site) == sorted(order[:4]), "what followed it in the last epoch, within the budget"
    assert (code, tally["asked"], tally["ahead"] <= 3) == (0, 1, True)
    with beside(site) as third:
        assert train(site, order * 2) == order * 2
    assert (third[0]["asked"], third[1]) == (2 * SHARDS, 0)
    assert third[0]["there"] >= SHARDS, "the whole second epoch at least"


def test_workers_of_one_tier_do_not_fight(site):
    orders = {reader: epoch(int(reader)) for reader in ("0", "1")}
    done = {}
    with beside(site, "0") as first, beside(site, "1") as second:
        trainers = [
            threading.Thread(
                target=lambda reader=reader: done.update({reader: train(site, orders[reader], reader)})
            )
            for reader in orders
        ]
        for each in trainers:
            each.start()
        for each in trainers:
            each.join(120)
    assert done == orders
    assert [each[1] for each in (first, second)] == [0, 0]
    kept = sorted(path.name for path in (site / "hot/.tiers/order").iterdir())
    assert kept == [f"seg3d-ahead-{reader}" for reader in orders]


def test_a_shell_gets_the_path_and_the_reason(site):
    command = [sys.executable, "-m", "cloud_jobs.reads", "shard-1.tar", "shard-99.tar"]
    with beside(site):
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | environment(site),
        )
    assert (done.returncode, done.stdout) == (1, f"{site}/hot/datasets/seg3d/shard-1.tar\n")
    assert "has no datasets/seg3d/shard-99.tar" in done.stderr


def test_a_prefetch_that_is_started_anew_is_waited_for(site):
    """The first one goes without an answer, as one that is killed does."""
    address = site / "reads-0.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
        first.bind(str(address))
        first.listen()
        answers = []
        asks = threading.Thread(
            target=lambda: answers.append(ready("shard-1.tar", environ=environment(site)))
        )
        asks.start()
        first.accept()[0].close()
    with beside(site):
        asks.join(60)
    assert answers == [site / "hot/datasets/seg3d/shard-1.tar"]
    with pytest.raises(NotReadyError, match="nobody answered"):
        ready("shard-1.tar", patience_seconds=0, environ=environment(site))


def test_data_that_are_there_whole_need_nobody(site):
    data = {DATA_VARIABLE: str(site / "warm/datasets/seg3d")}
    assert ready("shard-1.tar", environ=data) == site / "warm/datasets/seg3d/shard-1.tar"
    with pytest.raises(NotReadyError, match="is not there"):
        ready("shard-99.tar", environ=data)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="is no name"):
        ready(name, environ={})


def test_the_variables_are_those_of_the_pod():
    """The file stands alone, so it says them again."""
    assert (reads._DATA, reads._READS) == (DATA_VARIABLE, READS_VARIABLE)


def test_a_reader_is_a_name(site):
    command = [sys.executable, "-m", "cloud_jobs.prefetch", str(site / "tasks.json"), "--budget", "1"]
    done = subprocess.run([*command, "--reader", "../x"], check=False, capture_output=True, timeout=120)
    assert (done.returncode, b"must be letters" in done.stderr) == (6, True)
