"""Logs by rank through the API server: from a kubelet of KWOK's that reads files, and from nodes that have none."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.cluster.plane import HERE
from tests.cluster.process import Process
from tests.ports import free_ports
from toolkit.cli import main
from toolkit.errors import ClusterError, JobError, UsageError
from toolkit.jobs.pod_logs import Line, logs


class Kubelet:
    """A second KWOK that manages no node and answers as the kubelet of those we point to it."""

    def __init__(self, site, folder: Path) -> None:
        self.folder, (self.port,) = folder, free_ports(1)
        self.files = {rank: folder / f"rank-{rank}.log" for rank in range(2)}
        documents = [
            {
                "apiVersion": "kwok.x-k8s.io/v1alpha1",
                "kind": "Logs",
                "metadata": {"name": f"digits-worker-{rank}", "namespace": site.name},
                "spec": {"logs": [{"containers": ["worker"], "logsFile": str(path), "follow": True}]},
            }
            for rank, path in self.files.items()
        ]
        for path in self.files.values():
            path.write_text("")
        config = folder / "logs.yaml"
        config.write_text("\n---\n".join(json.dumps(each) for each in documents))
        self.process = Process(
            "kwok",
            f"--kubeconfig={site.plane.write_kubeconfig('system')}",
            f"--config={config}",
            f"--config={HERE / 'stages.yaml'}",  # it does not start without any; it has no node to play them on
            "--manage-all-nodes=false",
            "--manage-nodes-with-label-selector=tiers.test/nobody=here",
            f"--server-address=127.0.0.1:{self.port}",
            folder=folder,
            name="kubelet",
        )
        address = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        endpoint = {"daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}}}
        for pod in site.pods("digits"):
            path = f"/api/v1/nodes/{pod['spec']['nodeName']}/status"
            site.api.merge(path, {"status": address | endpoint})
        self.nodes = {pod["spec"]["nodeName"] for pod in site.pods("digits")}
        self.site = site

    def write(self, rank: int, *lines: str) -> None:
        """Write lines the way a container runtime does (CRI): time, stream, F for a full line."""
        with self.files[rank].open("a") as file:
            for line in lines:
                file.write(f"2026-11-21T10:00:00.000000000Z stdout F {line}\n")

    def end(self) -> None:
        for node in self.nodes:
            gone = {"addresses": None, "daemonEndpoints": None}
            self.site.api.merge(f"/api/v1/nodes/{node}/status", {"status": gone})
        self.process.end()


@pytest.fixture
def running(ward, wait_until):
    site = ward()
    assert main(site.command("submit", "digits")) == 0
    wait_until(lambda: site.phase("digits") == "Running", "it runs")
    return site


@pytest.fixture
def kubelet(running, tmp_path):
    found = Kubelet(running, tmp_path)

    def answers() -> bool:
        try:
            return list(logs(running.where("digits").kinds, running.name, "digits")) is not None
        except ClusterError:
            return False

    try:
        found.process.wait_ready(answers)
        yield found
    finally:
        found.end()


@pytest.mark.slow
def test_logs_come_by_rank_with_their_ends(running, kubelet, capsys):
    kubelet.write(0, *(f"step {number}" for number in range(30)))
    kubelet.write(1, "loss 0.5", "ümlaut")
    capsys.readouterr()
    assert main(running.command("logs", "digits", "--tail", "2")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "[rank 0] step 28", "[rank 0] step 29", "[rank 1] loss 0.5", "[rank 1] ümlaut",
    ]  # fmt: skip
    assert main(running.command("logs", "digits", "--rank", "1")) == 0
    assert capsys.readouterr().out.splitlines() == ["[rank 1] loss 0.5", "[rank 1] ümlaut"]


def test_followed_logs_come_from_all_ranks_as_they_are_written(running, kubelet, wait_until):
    kubelet.write(0, "first")
    kinds, heard = running.where("digits").kinds, []

    def listen() -> None:
        heard.extend(logs(kinds, running.name, "digits", follow=True))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    wait_until(lambda: Line(0, "first") in heard, "what was there comes")
    kubelet.write(1, "second")
    wait_until(lambda: Line(1, "second") in heard, "what comes later, from the other rank")
    assert len(heard) == 2


def test_the_last_words_of_a_failed_worker_stand_in_its_reason(running, kubelet, wait_until, capsys):
    kubelet.write(1, "CUDA error: out of memory")
    running.end("digits", 1, rank=1)
    wait_until(lambda: running.phase("digits") in {"Failed", "Terminated"}, "it fails")
    capsys.readouterr()
    assert main(running.command("status", "digits")) == 0
    said = capsys.readouterr().err
    assert "rank 1 on a100-" in said
    assert "    | CUDA error: out of memory" in said


def test_what_cannot_be_had_is_said_with_the_reason_of_the_server(running, capsys):
    """A node of KWOK has no kubelet and no address: the API server says so."""
    capsys.readouterr()
    assert main(running.command("logs", "digits", "--rank", "1")) == 1
    said = capsys.readouterr().err
    assert "no log of pod digits-worker-1: " in said
    assert f"GET /api/v1/namespaces/{running.name}/pods/digits-worker-1/log" in said
    assert "no preferred addresses found" in said
    assert f"kubectl describe pod -n {running.name} digits-worker-1" in said


def test_wrong_ranks_and_workers_that_have_not_begun(running):
    kinds = running.where("digits").kinds
    with pytest.raises(UsageError, match="has no rank 7") as caught:
        list(logs(kinds, running.name, "digits", rank=7))
    assert caught.value.hint == "ranks 0 to 1"
    with pytest.raises(JobError, match="no worker has begun"):
        list(logs(kinds, running.name, "seg3d"))
