"""What Prometheus reads of an agent: counted by real runs, asked over real sockets, in TLS beyond loopback."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from http.client import HTTPException

import msgspec
import pytest

from cloud_jobs.sync_agent import run_one
from cloud_jobs.sync_metrics import SyncMetrics, serve
from tests.toolkit.sync.trees import make_tree, task_of
from toolkit.errors import UsageError
from toolkit.sync.task import encode_tasks


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def page(address, context=None):
    with urllib.request.urlopen(f"{address}/metrics", timeout=60, context=context) as answer:  # noqa: S310 -- http or https
        return answer.read().decode()


def test_a_good_run_and_a_bad_one_are_counted(tmp_path):
    make_tree(tmp_path / "edge/frames")
    task = task_of(tmp_path, every_seconds=60.0)
    bad = msgspec.structs.replace(task, route="bad", path="nothing")
    metrics = SyncMetrics([task, bad])
    started = value(metrics, "tiers_sync_last_success_timestamp_seconds", route="bad")
    assert value(metrics, "tiers_sync_runs_total", route="frames", outcome="ok") == 0
    assert run_one(task, lambda _: None, metrics) == 0
    assert run_one(bad, lambda _: None, metrics) == 1
    assert value(metrics, "tiers_sync_runs_total", route="frames", outcome="ok") == 1
    assert value(metrics, "tiers_sync_runs_total", route="bad", outcome="failed") == 1
    assert value(metrics, "tiers_sync_files", route="frames") == 60
    moved = value(metrics, "tiers_sync_moved_bytes_total", route="frames")
    assert moved > 0
    assert value(metrics, "tiers_sync_last_success_timestamp_seconds", route="frames") > started
    assert value(metrics, "tiers_sync_last_success_timestamp_seconds", route="bad") == started
    assert value(metrics, "tiers_sync_period_seconds", route="frames") == 60
    assert run_one(task, lambda _: None, metrics) == 0
    assert value(metrics, "tiers_sync_moved_bytes_total", route="frames") == moved, "nothing was new"


def test_an_agent_answers_prometheus(tmp_path, wait_until):
    make_tree(tmp_path / "edge/frames")
    (tmp_path / "tasks.json").write_bytes(encode_tasks([task_of(tmp_path, every_seconds=0.05)]))
    agent = subprocess.Popen(
        [sys.executable, "-m", "cloud_jobs.sync_agent", tmp_path / "tasks.json", "--metrics", "127.0.0.1:0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        port = re.search(r"on port (\d+)", agent.stderr.readline())[1]
        again = re.compile(r'tiers_sync_runs_total\{outcome="ok",route="frames"\} ([2-9]|\d\d)')
        wait_until(lambda: again.search(page(f"http://127.0.0.1:{port}")), "it has run twice")
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=60) == 0
        agent.stderr.close()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_beyond_loopback_it_wants_tls(address):
    with pytest.raises(UsageError, match="needs TLS"):
        serve(SyncMetrics([]), address)


@pytest.mark.parametrize("address", ["9108", "localhost:9108", "127.0.0.1:http"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UsageError, match=re.escape(address)):
        serve(SyncMetrics([]), address)


def test_with_a_certificate_it_speaks_tls_alone(tmp_path):
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=agent"
    )
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    server = serve(SyncMetrics([]), "0.0.0.0:0", tmp_path / "cert.pem", tmp_path / "key.pem")
    try:
        trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        assert "tiers_sync" in page(f"https://127.0.0.1:{server.server_port}", trusted)
        with pytest.raises(urllib.error.URLError):
            page(f"https://127.0.0.1:{server.server_port}")
        with pytest.raises((ConnectionError, HTTPException)):
            page(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
