"""Prometheus asks a rendered server with the rendered job: certificate trusted, token taken, place known.

As in a pod, only folders and the address are other ones: discovery of pods needs a cluster, so a fixed address stands
in for it, and the steps that choose among pods are left out.
"""

from __future__ import annotations

import pytest
import yaml

from tests.e2e.test_service import SERVICE, TIERS_YAML, Ward
from tests.e2e.watching import prometheus
from tests.edge_runtime.conftest import MODEL, SITE
from toolkit.render.monitoring.plain import PROMETHEUS_FILE, SECRETS, monitoring_files
from toolkit.topology.load import load_texts

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(180)]

WATCHED = "monitoring: {kind: prometheus, discovery: kubernetes, interval: 1s}\n"
GOOD = "tiers-service"
SAID = {"without-token": "401", "of-another-name": "certificate is valid for"}
"""What Prometheus says of the jobs that are wrong."""
PLACE = {
    "tiers_topology": SITE, "tiers_cluster": "main", "tiers_tier": "hot", "tiers_pool": "cpu",
    "tiers_service": SERVICE,
}  # fmt: skip


@pytest.fixture
def server(tmp_path, mosquitto, free_port, wait_until):
    """Run a replica, with its Secret also where Prometheus would find it."""
    ward = Ward(tmp_path, mosquitto.port, free_port)
    pod = ward.pod("x2b7q")
    wait_until(lambda: pod.probe("startup") == 200, "it is up")
    secret = tmp_path / f"secrets/{SERVICE}-serving"
    secret.mkdir(parents=True)
    for name, data in ward.files.items():
        (secret / name).write_bytes(data)
    yield pod
    ward.close()


def job_of(port: int, broker: int, secrets) -> dict[str, object]:
    """Give the rendered job of the service, for one address."""
    text = TIERS_YAML.format(site=SITE, broker=broker, model=MODEL, service=SERVICE, port=port) + WATCHED
    files = monitoring_files(load_texts({"tiers.yaml": text}).topology)
    (job,) = yaml.safe_load(files[PROMETHEUS_FILE].replace(SECRETS, str(secrets)))["scrape_configs"]
    del job["kubernetes_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    job["relabel_configs"] = [each for each in job["relabel_configs"] if each.get("action") != "keep"]
    return job


def test_prometheus_reads_a_servers_figures_over_tls_with_its_token(
    require, server, mosquitto, tmp_path, free_port, wait_until
):
    require("prometheus")
    job = job_of(server.port, mosquitto.port, tmp_path / "secrets")
    without = {**job, "job_name": "without-token"}
    del without["authorization"]
    elsewhere = {**job, "job_name": "of-another-name", "tls_config": {**job["tls_config"]}}
    elsewhere["tls_config"]["server_name"] = "another.example"
    for each in (without, elsewhere):  # so that they can be told apart
        each["relabel_configs"] = [{"target_label": "job", "replacement": each["job_name"]}]
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}}
    config["scrape_configs"] = [job, without, elsewhere]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus(tmp_path / "prometheus.yml", tmp_path / "data", free_port(), wait_until) as watching:
        found: list = []
        errors: dict[str, str] = {}

        def all_is_said() -> bool:
            # Each is asked every second, and a busy machine may take longer than that for an answer: then the last
            # error is another one, and a figure is missing until the next time.
            found[:] = watching.query("edge_model_ready")
            targets = watching.get("/api/v1/targets")["data"]["activeTargets"]
            errors.update({each["labels"]["job"]: each["lastError"] for each in targets})
            return (
                len(found) == 1
                and all(said in errors[job] for job, said in SAID.items())
                and not errors[GOOD]
            )

        try:
            wait_until(all_is_said, "the server answers one of three")
        except pytest.fail.Exception:
            pytest.fail(f"found {found}, errors {errors}")
    ((labels, ready),) = found
    assert PLACE.items() <= labels.items()
    assert (labels["model"], ready) == (MODEL, 0)
