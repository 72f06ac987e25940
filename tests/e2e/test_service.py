"""A server of a service, started with exactly what is rendered for it, asked from outside over TLS.

Only folders and the port are other ones than in a pod. The certificate and the token are made by the command that the
annotation `tiers.dev/prepare` gives; Secrets are mounted the way kubelet does it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.certificates import Authority
from tests.edge_runtime.conftest import DEVICE, MODEL, SITE, Depot, Keys
from tests.edge_runtime.serving.mounted import Mounted
from toolkit.render.objects import render
from toolkit.topology.load import load_texts
from toolkit.wire.document import encode_json

pytestmark = pytest.mark.broker

SERVICE = DEVICE  # to the fleet a service is a device
TIERS_YAML = """
version: 1
name: {site}
registry: file:///srv/registry
broker: {{url: "mqtt://127.0.0.1:{broker}"}}
clusters: {{main: {{context: here, tiers: [edge, hot]}}}}
images: {{edge: registry.example/tiers-edge:1, jobs: registry.example/jobs:1}}
tiers:
  edge: {{pools: {{carts: {{hardware: jetson-orin-nano, nodes: {{names: [cart-1]}}}}}}}}
  hot: {{pools: {{cpu: {{hardware: cpu-node, cpus: 8, memory: 32GiB, nodes: {{count: 1}}}}}}}}
models: {{{model}: {{source: {model}@1, pools: [carts]}}}}
services:
  {service}: {{pool: cpu, models: [{model}], gpus_per_replica: 0, port: {port}, client_ca: {{secret: doctors}}}}
"""
INFER = f"/v2/models/{MODEL}/infer"
BODY = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": [1, 0, 0, 0]}]}
).encode()


class Pod:
    """What kubelet does: mounts a pod's volumes, starts its command."""

    def __init__(self, folder: Path, broker: int, port: int) -> None:
        text = TIERS_YAML.format(site=SITE, broker=broker, model=MODEL, service=SERVICE, port=port)
        bodies = [each.body for each in render(load_texts({"tiers.yaml": text}).topology)]
        ours = {
            body["kind"]: body
            for body in bodies
            if body["metadata"]["labels"].get("tiers.dev/part-of") == "service"
        }
        self.deployment, self.port, self.folder = ours["Deployment"], port, folder
        spec = self.deployment["spec"]["template"]["spec"]
        (self.container,) = spec["containers"]
        self.volumes = {each["name"]: each for each in spec["volumes"]}
        config = ours["ConfigMap"]["data"]["config.json"]
        self.paths = {each["name"]: each["mountPath"] for each in self.container["volumeMounts"]}
        config = re.sub(r'"(/(?:etc|var/lib)/tiers)', rf'"{folder}\1', config)
        self.config = self.place("config") / "config.json"
        self.config.parent.mkdir(parents=True)
        self.config.write_text(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.serving: Mounted | None = None

    def place(self, volume: str) -> Path:
        return Path(f"{self.folder}{self.paths[volume]}")

    def mount(self, volume: str, files: dict[str, bytes]) -> Mounted:
        named = {name.replace(".", "_"): data for name, data in files.items()}
        return Mounted(self.place(volume), **named)

    def start(self, name: str) -> None:
        words = self.container["command"]
        assert words == ["tiers-edge", "run", "--config", f"{self.paths['config']}/config.json"]
        (variable,) = [each["name"] for each in self.container["env"]]
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", "run", "--config", str(self.config)],
            env={**os.environ, variable: name},
            stderr=log,
        )
        log.close()

    def probe(self, which: str, address: str = "127.0.0.1") -> int:
        """Ask as kubelet does: the port by its name, any certificate, no token."""
        asked = self.container[f"{which}Probe"]["httpGet"]
        assert asked["scheme"] == "HTTPS"
        ports = {each["name"]: each["containerPort"] for each in self.container["ports"]}
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = http.client.HTTPSConnection(address, ports[asked["port"]], timeout=60, context=context)
        try:
            client.request("GET", asked["path"])
            return client.getresponse().status
        except ConnectionError:
            return 0
        finally:
            client.close()

    def ask(self, path: str, token: str = "", body: bytes | None = None, *, trust, certificate=()):
        context = ssl.create_default_context(cafile=str(trust))
        context.check_hostname = (
            False  # the certificate is for the Service's names, which resolve in a cluster only
        )
        if certificate:
            context.load_cert_chain(*certificate)
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            client.request("POST" if body else "GET", path, body, headers)
            response = client.getresponse()
            return response.status, response.read()
        finally:
            client.close()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        process.terminate()
        return process.wait(120)


def prepared(pod: Pod, folder: Path) -> dict[str, bytes]:
    """Run the annotation's commands up to those that want a cluster; give the files of the Secret NAME-serving."""
    folder.mkdir()
    commands = pod.deployment["metadata"]["annotations"]["tiers.dev/prepare"].split(" && ")
    local = [each for each in commands if not each.startswith("kubectl ")]
    subprocess.run(" && ".join(local), shell=True, cwd=folder, check=True, capture_output=True)  # noqa: S602
    (create,) = [each for each in commands if f"generic {SERVICE}-serving" in each]
    names = [word.partition("=")[2] for word in create.split() if word.startswith("--from-file=")]
    return {name: (folder / name).read_bytes() for name in names}


class Ward:
    """A service with its Secrets, the depot of its site, and who signs the certificates of doctors."""

    def __init__(self, folder: Path, broker: int, free_port: Callable[[], int]) -> None:
        self.folder, self.broker, self.free_port = folder, broker, free_port
        self.keys, self.doctors, self.pods = Keys(), Authority(folder), []
        self.depot = Depot(f"mqtt://127.0.0.1:{broker}", self.keys)
        self.files: dict[str, bytes] = {}

    def pod(self, name: str) -> Pod:
        """Start a replica; gives it and its Secret of what it serves with."""
        pod = Pod(self.folder / name, self.broker, self.free_port())
        self.files = self.files or prepared(pod, self.folder / "made")
        pod.mount("client-ca", {"ca.crt": self.doctors.ca.read_bytes()})
        pod.mount("identity", {"keyring.json": encode_json(self.keys.keyring)})
        pod.serving = pod.mount("serving", self.files)
        self.pods.append(pod)
        pod.start(f"{SERVICE}-{name}")
        return pod

    @property
    def trust(self) -> Path:
        return self.folder / "made" / "tls.crt"

    @property
    def token(self) -> str:
        return self.files["token"].decode().strip()

    def close(self) -> None:
        self.depot.close()
        codes = [pod.stop() for pod in self.pods if pod.process is not None]
        assert codes == [0] * len(codes)


@pytest.fixture
def ward(tmp_path, mosquitto, free_port):
    ward = Ward(tmp_path, mosquitto.port, free_port)
    yield ward
    ward.close()


def test_a_rendered_server_starts_and_answers_those_who_prove_themselves(ward, wait_until):
    pod = ward.pod("x2b7q")
    wait_until(lambda: pod.probe("startup") == 200, "the start is seen")
    assert pod.probe("readiness") == 503, "no model yet"
    ward.depot.offer(ward.keys.model("v1"))
    wait_until(lambda: pod.probe("readiness") == 200, "it is ready")
    assert pod.probe("liveness") == 200

    trust, token = ward.trust, ward.token
    assert pod.ask(INFER, body=BODY, trust=trust)[0] == 401
    assert pod.ask(INFER, "f" * 64, BODY, trust=trust)[0] == 401
    assert pod.ask("/metrics", trust=trust)[0] == 401
    status, text = pod.ask(INFER, token, BODY, trust=trust)
    assert (status, json.loads(text)["outputs"][0]["data"]) == (200, [0.0, 1.0, 2.0])
    assert pod.ask("/metrics", ward.files["scrape-token"].decode().strip(), trust=trust)[0] == 200
    assert pod.ask(INFER, body=BODY, trust=trust, certificate=ward.doctors.server("doctor"))[0] == 200


def test_another_replica_gets_ready_by_itself_beside_the_first(ward, wait_until):
    first = ward.pod("x2b7q")
    ward.depot.offer(ward.keys.model("v1"))
    wait_until(lambda: first.probe("readiness") == 200, "it is ready")
    second = ward.pod("k4mzt")
    wait_until(lambda: second.probe("readiness") == 200, "the other one is ready too")
    for pod in (first, second):
        assert pod.ask(INFER, ward.token, BODY, trust=ward.trust)[0] == 200
        assert "no connection" not in pod.log(), "the broker knows them apart"


def test_certificate_and_token_are_renewed_in_a_running_pod(ward, tmp_path, wait_until):
    pod = ward.pod("x2b7q")
    wait_until(lambda: pod.probe("startup") == 200, "the start is seen")
    again = prepared(pod, tmp_path / "again")
    pod.serving.turn(**{name.replace(".", "_"): data for name, data in again.items()})
    fresh, renewed = tmp_path / "again" / "tls.crt", again["token"].decode().strip()
    wait_until(lambda: _trusted(pod, fresh), "the new certificate")
    assert pod.ask("/v2", renewed, trust=fresh)[0] == 200
    assert pod.ask("/v2", ward.token, trust=fresh)[0] == 401
    assert not _trusted(pod, ward.trust)
    assert ward.token not in pod.log()
    assert renewed not in pod.log()


def _trusted(pod: Pod, trust: Path) -> bool:
    try:
        return pod.ask("/v2/health/live", trust=trust)[0] == 200
    except ssl.SSLError:
        return False
