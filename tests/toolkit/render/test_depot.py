"""Depot and driver in the cluster: the rendered commands run as they are, against the rendered broker."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contracts.link import arrival, connected
from tests.toolkit.render.clinic import ClinicBroker, clinic, rendered
from toolkit.registry.keys import make_site_keys
from toolkit.render.broker_topics import DEPOT, DRIVER
from toolkit.render.depot import ALIVE_FILE, HTTP_PORT, METRICS_PORT, METRICS_PORT_NAME, small_site
from toolkit.render.objects import render
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.topology.load import load_texts
from toolkit.wire.frame import Refusal, decode_frame
from toolkit.wire.request import ChunkRequest, encode_request
from toolkit.wire.topics import Topics

TOPICS = Topics("clinic")
TIERS = str(Path(sys.executable).parent / "tiers")


def pod_of(name):
    return rendered("Deployment", name)["spec"]["template"]["spec"]


@pytest.fixture
def broker(tmp_path, free_port, wait_until, require):
    require("mosquitto")
    made = ClinicBroker(tmp_path / "broker", free_port)
    made.start()
    wait_until(made.answers, "the rendered Mosquitto answers")
    yield made
    made.stop()


class Pod:
    """The only container of a rendered pod as a process: its volumes are folders of the test."""

    def __init__(self, name: str, folder: Path, broker: ClinicBroker, secrets: dict[str, dict[str, bytes]]):
        self.folder, self.spec = folder, pod_of(name)
        (self.container,) = self.spec["containers"]
        self.metrics_port = broker.free_port()
        self.http_port = broker.free_port()
        self.files: dict[str, str] = {
            f"0.0.0.0:{METRICS_PORT}": f"127.0.0.1:{self.metrics_port}",
            f"0.0.0.0:{HTTP_PORT}": f"127.0.0.1:{self.http_port}",
        }
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            here = folder / mount["name"]
            here.mkdir(parents=True)
            self.files[mount["mountPath"]] = str(here)
            self.fill(volumes[mount["name"]], here, secrets)
        for file in folder.rglob("tiers.yaml"):
            there = f"tiers-broker.clinic.svc:{8883}"
            assert there in file.read_text()
            file.write_text(self.here(file.read_text()).replace(there, f"127.0.0.1:{broker.port}"))
        self.process = None

    def fill(self, volume, here: Path, secrets) -> None:
        if "configMap" in volume:
            for key, text in rendered("ConfigMap", volume["configMap"]["name"])["data"].items():
                (here / key).write_text(text)
        if "secret" in volume:
            kept = secrets[volume["secret"]["secretName"]]
            for item in volume["secret"]["items"]:
                (here / item["path"]).write_bytes(kept[item["key"]])
                (here / item["path"]).chmod(0o600)
        if "persistentVolumeClaim" in volume:
            DirectoryRemote(str(here), create=True)

    def here(self, text: str) -> str:
        """Put the test's folders in the place of the pod's; the longest first."""
        places = "|".join(re.escape(there) for there in sorted(self.files, key=len, reverse=True))
        return re.sub(places, lambda found: self.files[found[0]], text)

    def start(self) -> None:
        program, *words = self.container["command"]
        assert program == "tiers"
        with (self.folder / "log").open("wb") as log:
            command = [TIERS, *map(self.here, words)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})

    def passes(self, probe: str) -> bool:
        """Ask as the kubelet would; fail when the process has ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail("it ended: " + (self.folder / "log").read_text())
        program, *words = self.container[probe]["exec"]["command"]
        assert program == "python"
        command = [sys.executable, *map(self.here, words)]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    def figures(self, broker: ClinicBroker) -> set[str]:
        """Ask as Prometheus does: by the rendered port, and by the certificate of the Secret; give all names."""
        assert {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT} in self.container["ports"]
        trusting = ssl.create_default_context(cafile=str(broker.authority.ca))
        url = f"https://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=60, context=trusting) as answer:
            text = answer.read().decode()
        families = text_string_to_metric_families(text)
        return {each.name for family in families for each in family.samples}

    def over_http(self, broker: ClinicBroker, device: str) -> int:
        """Ask for an artifact as a device does; give the status."""
        tls = broker.files_of(device)
        trusting = ssl.create_default_context(cafile=tls.ca_file)
        trusting.load_cert_chain(tls.certificate_file, tls.key_file)
        asked = http.client.HTTPSConnection("127.0.0.1", self.http_port, timeout=60, context=trusting)
        try:
            asked.request("GET", f"/v1/artifacts/{'a' * 64}/chunks", headers={"Range": "bytes=0-9"})
            return asked.getresponse().status
        finally:
            asked.close()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=60)


@pytest.fixture
def secrets(tmp_path, broker):
    """Give what the Secrets hold, by name and key, made by the commands that the guide names."""
    keys = make_site_keys(tmp_path / "keys")
    found = {
        "site-keys": {
            "keyring.json": keys.keyring_file.read_bytes(),
            "operator.pem": keys.operator.file.read_bytes(),
        },
        "broker-ca": {"ca.crt": broker.authority.ca.read_bytes()},
        "clients-ca": {"ca.crt": broker.authority.ca.read_bytes()},
    }
    roles = {"depot-identity": DEPOT, "driver-identity": DRIVER, "depot-tls": "d", "driver-tls": "s"}
    for name, role in roles.items():
        tls = broker.files_of(role)
        found[name] = {
            "tls.crt": Path(tls.certificate_file).read_bytes(),
            "tls.key": Path(tls.key_file).read_bytes(),
        }
    return found


@pytest.mark.broker
def test_the_depot_answers_a_device_over_the_rendered_broker(tmp_path, broker, secrets, wait_until):
    pod = Pod("tiers-depot", tmp_path / "depot", broker, secrets)
    registry = Path(pod.files["/srv/registry"])
    before = sorted(registry.rglob("*"))
    pod.start()
    try:
        wait_until(lambda: pod.passes("startupProbe"), "the depot shows a sign of life")
        assert pod.passes("livenessProbe")
        device = broker.link("cart-1")
        device.subscribe(TOPICS.data("cart-1"))
        connected(device)
        asked = ChunkRequest(device="cart-1", artifact="a" * 64, epoch=1, index_from=0)
        device.publish(TOPICS.request("cart-1"), encode_request(asked))
        answer = decode_frame(arrival(device, TOPICS.data("cart-1")).payload)
        assert answer.refusal is Refusal.UNKNOWN_ARTIFACT
        device.close()
        assert "tiers_depot_requests_total" in pod.figures(broker)
        assert pod.over_http(broker, "cart-1") == HTTPStatus.NOT_FOUND, (
            "it is let in, and asks for what is not there"
        )
        assert sorted(registry.rglob("*")) == before, "its mount is for reading only"
        assert pod.process is not None
        pod.process.send_signal(signal.SIGSTOP)
        os.utime(pod.here(ALIVE_FILE), (1, 1))
        assert not pod.passes("livenessProbe"), "a depot that hangs does not touch its file"
        pod.process.send_signal(signal.SIGCONT)
    finally:
        assert pod.stop() == 0


@pytest.mark.broker
def test_the_driver_takes_its_place_at_the_rendered_broker(tmp_path, broker, secrets, wait_until):
    pod = Pod("tiers-driver", tmp_path / "driver", broker, secrets)
    pod.start()
    try:
        # It shows life only after it has heard its own echo and all that is retained: the broker lets it.
        wait_until(lambda: pod.passes("startupProbe"), "the driver shows a sign of life")
        assert "tiers_driver_active" in pod.figures(broker)
    finally:
        assert pod.stop() == 0


@pytest.mark.broker
def test_without_the_broker_there_is_no_sign_of_life_and_the_process_ends(tmp_path, broker, secrets):
    pod = Pod("tiers-depot", tmp_path / "depot", broker, secrets)
    broker.stop()
    pod.start()
    assert pod.process is not None
    assert pod.process.wait(timeout=60) == 5, "unreachable: the kubelet tries again"
    assert not Path(pod.here(ALIVE_FILE)).exists()


def test_only_the_driver_sees_the_operators_key():
    def keys_of(name):
        volumes = [volume["secret"] for volume in pod_of(name)["volumes"] if "secret" in volume]
        return {(each["secretName"], item["key"]) for each in volumes for item in each["items"]}

    assert ("site-keys", "operator.pem") in keys_of("tiers-driver")
    assert keys_of("tiers-depot") == {
        ("site-keys", "keyring.json"),
        ("broker-ca", "ca.crt"),
        ("depot-identity", "tls.crt"),
        ("depot-identity", "tls.key"),
        ("depot-tls", "tls.crt"),
        ("depot-tls", "tls.key"),
        ("clients-ca", "ca.crt"),
    }


def test_the_registry_is_mounted_for_reading_where_its_address_says():
    pod = pod_of("tiers-depot")
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/srv/registry"]["readOnly"] is True
    assert "/srv/registry" not in {
        mount["mountPath"] for mount in pod_of("tiers-driver")["containers"][0]["volumeMounts"]
    }


def test_the_small_site_is_a_tiers_yaml_and_says_no_more_than_it_must():
    site = small_site(clinic(), "main", clinic().depot.identity)
    small = load_texts({"tiers.yaml": json.dumps(site)}).topology
    assert (small.name, small.registry.url) == ("clinic", "file:///srv/registry")
    assert small.broker.certificate.file == "/etc/tiers/identity/tls.crt"
    assert [*small.jobs, *small.routes, *small.models] == []


def test_a_registry_with_a_login_is_reached_with_files_that_the_depot_sees(topology):
    registry = {
        "url": "sftp://models@files.example/registry",
        "credentials": {"secret": "registry-login"},
        "known_hosts": {"secret": "registry-login/hosts"},
    }
    changed = topology({"registry": registry, "depot": {"pool": "nvme", "keyring": {"secret": "site-keys"}}})
    objects = [each.body for each in render(changed) if each.source == "depot"]
    (config,) = [body["data"]["tiers.yaml"] for body in objects if body["kind"] == "ConfigMap"]
    folder = "/etc/tiers/credentials/registry-login"
    assert json.loads(config)["registry"] == {
        "url": "sftp://models@files.example/registry",
        "credentials": {"file": f"{folder}/ssh-privatekey"},
        "known_hosts": {"file": f"{folder}/hosts"},
    }
    (pod,) = [body["spec"]["template"]["spec"] for body in objects if body["kind"] == "Deployment"]
    assert folder in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}


def test_a_broker_elsewhere_is_reached_at_its_own_address_with_a_login(topology):
    changed = topology({"depot": {"pool": "nvme", "keyring": {"secret": "site-keys"}}})
    objects = [each.body for each in render(changed) if each.source == "depot"]
    (config,) = [body["data"]["tiers.yaml"] for body in objects if body["kind"] == "ConfigMap"]
    broker = json.loads(config)["broker"]
    assert broker["url"] == "mqtts://broker.hospital.example:8883"
    assert broker["credentials"] == {"file": "/etc/tiers/login/password"}
    (pod,) = [body["spec"]["template"]["spec"] for body in objects if body["kind"] == "Deployment"]
    secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert secrets == {"site-keys", "broker-login"}


def test_devices_that_are_revoked_are_kept_from_the_second_road(topology):
    http = {
        "url": "https://depot.example:8443",
        "clients": {"secret": "clients-ca"},
        "revoked": {"secret": "clients-ca/list.pem"},
    }
    depot = {
        "pool": "nvme",
        "keyring": {"secret": "site-keys"},
        "certificate": {"secret": "tls"},
        "http": http,
    }
    bodies = [each.body for each in render(topology({"depot": depot})) if each.source == "depot"]
    (pod,) = [body["spec"]["template"]["spec"] for body in bodies if body["kind"] == "Deployment"]
    words = pod["containers"][0]["command"]
    assert words[words.index("--client-crl") + 1] == "/etc/tiers/revoked/list.pem"
    assert {"name": "revoked", "mountPath": "/etc/tiers/revoked", "readOnly": True} in pod["containers"][0][
        "volumeMounts"
    ]


def test_sites_without_them_get_none(hospital):
    assert not [each for each in render(hospital) if each.source in {"depot", "driver"}]
