"""The broker in the cluster: the rendered Mosquitto really keeps everybody to their own topics, with TLS only."""

from __future__ import annotations

import subprocess
import time
from queue import Empty

import pytest

from tests.conftest import program
from tests.contracts.link import arrival, await_event, connected
from tests.toolkit.render.clinic import CLINIC, ClinicBroker, clinic, rendered
from toolkit.errors import RenderError
from toolkit.link.link import Arrived, Connected, Disconnected
from toolkit.link.settings import TlsSettings
from toolkit.render.broker import PACKET_BYTES
from toolkit.render.template import fill_lines
from toolkit.topology.load import load_texts
from toolkit.wire.topics import Topics

TOPICS = Topics("clinic")
ONE, OTHER = "cart-1", "cart-2"
DEPOT, DRIVER, OPERATOR = "tiers:depot", "tiers:driver", "tiers:operator"
MANIFEST = TOPICS.manifest("0" * 64)

READERS = {
    MANIFEST: {ONE, OTHER, DEPOT, DRIVER, OPERATOR},
    TOPICS.desired(ONE): {ONE, DRIVER, OPERATOR},
    TOPICS.request(ONE): {DEPOT, OPERATOR},
    TOPICS.data(ONE): {ONE, OPERATOR},
    TOPICS.state(ONE): {DRIVER, OPERATOR},
    TOPICS.presence(ONE): {DRIVER, OPERATOR},
    TOPICS.rollout("spring"): {DEPOT, DRIVER, OPERATOR},
    TOPICS.forget("us"): {ONE, OTHER, DEPOT, DRIVER, OPERATOR},
    TOPICS.echo("somebody"): {DRIVER, OPERATOR},
    f"{TOPICS.root}/d/{ONE}/other": {OPERATOR},
    "elsewhere": set(),
}
"""Topic -> who hears it."""
WRITERS = {
    MANIFEST: {DEPOT, OPERATOR},
    TOPICS.desired(ONE): {DRIVER},
    TOPICS.request(ONE): {ONE},
    TOPICS.data(ONE): {DEPOT},
    TOPICS.state(ONE): {ONE},
    TOPICS.presence(ONE): {ONE},
    TOPICS.rollout("spring"): {OPERATOR},
    TOPICS.forget("us"): {OPERATOR},
    TOPICS.echo("somebody"): {DRIVER, OPERATOR},
    f"{TOPICS.root}/d/{ONE}/other": set(),
    "elsewhere": set(),
}
"""Topic -> whose word on it goes out."""
EVERYBODY = (ONE, OTHER, DEPOT, DRIVER, OPERATOR)


@pytest.fixture
def broker(tmp_path, free_port, wait_until, require):
    require("mosquitto")
    made = ClinicBroker(tmp_path / "broker", free_port)
    made.start()
    wait_until(made.answers, "the rendered Mosquitto answers")
    yield made
    made.stop()


@pytest.mark.broker
def test_everybody_hears_and_says_exactly_what_is_theirs(broker):
    links = {name: broker.link(name) for name in EVERYBODY}
    for link in links.values():
        for topic in ("#", MANIFEST, *READERS):
            link.subscribe(topic, qos=1)
        connected(link)
    for name, link in links.items():
        for topic in READERS:
            link.publish(topic, name.encode(), qos=1)
        assert link.flush(60), f"{name}: the broker has not taken everything"
    # Everything before has been routed by now, so who has the last message has all of them.
    links[OPERATOR].publish(TOPICS.rollout("last"), b"last", qos=1)
    links[OPERATOR].publish(TOPICS.manifest("f" * 64), b"last", qos=1)
    heard = {name: heard_until_last(link) for name, link in links.items()}
    for link in links.values():
        link.close()
    expected = {
        name: {(topic, writer) for topic in READERS if name in READERS[topic] for writer in WRITERS[topic]}
        for name in EVERYBODY
    }
    assert heard == expected


def heard_until_last(link) -> set[tuple[str, str]]:
    heard = set()
    deadline = time.monotonic() + 100
    while True:
        try:
            event = link.events.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            pytest.fail(f"the last message did not come; before it: {heard}")
        if isinstance(event, Arrived):
            if event.payload == b"last":
                return heard
            heard.add((event.topic, event.payload.decode()))


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("who", ["anonymous", "of-another-authority", "without-tls"])
def test_nobody_comes_in_without_a_certificate_of_the_authority(broker, tmp_path, who):
    (tmp_path / "other").mkdir()
    other = ClinicBroker(tmp_path / "other" / "x", lambda: 0)
    files = other.files_of(ONE)
    tls = {
        "anonymous": TlsSettings(str(broker.authority.ca)),
        "of-another-authority": TlsSettings(str(broker.authority.ca), files.certificate_file, files.key_file),
        "without-tls": TlsSettings(),
    }[who]
    link = broker.link(ONE, tls, scheme="mqtt" if who == "without-tls" else "mqtts")
    link.connect()
    event = link.events.get(timeout=60)
    link.close()
    assert isinstance(event, Disconnected)


@pytest.mark.broker
def test_a_full_frame_passes_and_what_is_larger_than_a_packet_does_not(broker, require):
    depot, device = broker.link(DEPOT), broker.link(ONE)
    device.subscribe(TOPICS.data(ONE))
    connected(device)
    connected(depot)
    frame = bytes(256 * 1024)
    depot.publish(TOPICS.data(ONE), frame)
    assert arrival(device, TOPICS.data(ONE)).payload == frame
    require("mosquitto-clients")
    publish = str(program("mosquitto_pub"))
    large = broker.folder / "large"
    tls = broker.files_of(DEPOT)
    files = ["--cafile", tls.ca_file, "--cert", tls.certificate_file, "--key", tls.key_file]
    # MQTT 3.1.1: the broker cannot tell the client its limit, so this one sends all the same.
    command = [publish, "-p", str(broker.port), *files, "-t", TOPICS.data(ONE), "-V", "311", "-f", str(large)]
    for size in (PACKET_BYTES - 1000, PACKET_BYTES + 1):
        large.write_bytes(bytes(size))
        subprocess.run(command, capture_output=True, check=False, timeout=60)
    depot.publish(TOPICS.data(ONE), b"after")
    sizes = [len(arrival(device, TOPICS.data(ONE)).payload) for _ in range(2)]
    depot.close()
    device.close()
    assert sizes == [PACKET_BYTES - 1000, len(b"after")]


@pytest.mark.broker
def test_what_is_retained_outlives_the_broker(broker, wait_until):
    device, watcher = broker.link(ONE), broker.link(OPERATOR)
    connected(device).publish(TOPICS.state(ONE), b"fine", qos=1, retain=True)
    assert device.flush(60)
    broker.stop()
    broker.start()
    wait_until(broker.answers, "the broker is back")
    watcher.subscribe(TOPICS.state("+"), qos=1)
    connected(watcher)
    assert arrival(watcher, TOPICS.state(ONE)).payload == b"fine"
    await_event(device, lambda event: isinstance(event, Connected))
    device.close()
    watcher.close()


@pytest.mark.broker
def test_the_kubelets_question_is_answered_and_nothing_else(broker, require, wait_until):
    require("mosquitto-clients")
    (container,) = rendered("Deployment", "tiers-broker")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked, *words = container[probe]["exec"]["command"]
        found = str(program(asked))
        words[words.index("1883")] = str(broker.health_port)
        command = [found, *words]

        def answered(command: list[str] = command) -> bool:
            """Ask again, as the kubelet does: a question has five seconds, which a busy machine may need for itself."""
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            return done.returncode == 0 and done.stdout.strip().endswith("seconds")

        wait_until(answered, f"{probe} is answered")
    device = broker.link(ONE)
    connected(device).publish(TOPICS.state(ONE), b"fine", qos=1, retain=True)
    assert device.flush(60)
    device.close()
    spy = [found, "-p", str(broker.health_port), "-t", "#", "-t", "$SYS/#", "-W", "6", "-F", "%t"]
    seen = subprocess.run(spy, capture_output=True, text=True, check=False, timeout=60).stdout.split()
    assert set(seen) == {"$SYS/broker/uptime"}


def test_one_broker_with_a_volume_that_is_never_two():
    deployment = rendered("Deployment", "tiers-broker")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    volumes = {volume["name"]: volume for volume in deployment["template"]["spec"]["volumes"]}
    claim = rendered("PersistentVolumeClaim", volumes["data"]["persistentVolumeClaim"]["claimName"])
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    service = rendered("Service", "tiers-broker")["spec"]
    assert service["selector"] == deployment["selector"]["matchLabels"]
    assert service["selector"].items() <= deployment["template"]["metadata"]["labels"].items()
    assert [port["port"] for port in service["ports"]] == [8883]


def test_secrets_are_mounted_and_stand_nowhere():
    pod = rendered("Deployment", "tiers-broker")["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert secrets == {"broker-tls", "clients-ca"}
    assert "PRIVATE" not in str(rendered("ConfigMap", "tiers-broker"))


WITH_SERVICES = {
    "broker": {
        "deploy": {
            "pool": "nvme",
            "storage": {"class": "block", "size": "1GiB"},
            "certificate": {"secret": "broker-tls"},
            "clients": {"secret": "clients-ca"},
        }
    },
    "storage_classes": {"block": {"installed": "standard"}},
}


@pytest.mark.broker
def test_the_servers_of_a_service_are_one_device_of_its_name(
    topology, tmp_path, free_port, wait_until, require
):
    require("mosquitto")
    site = topology(WITH_SERVICES)
    topics, service = Topics(site.name), "medical-ai"
    assert service in site.services
    assert "tiers:server" not in rendered("ConfigMap", "tiers-broker", site)["data"]["topics.acl"]
    broker = ClinicBroker(tmp_path / "broker", free_port, site)
    broker.start()
    try:
        wait_until(broker.answers, "the rendered Mosquitto answers")
        # Two pods with the one certificate of their Secret; each has a client id of its own.
        files = broker.files_of(service)
        pods = [broker.link(f"{service}-{number}", files) for number in range(2)]
        depot, driver = broker.link(DEPOT), broker.link(DRIVER)
        for pod in pods:
            pod.subscribe(topics.desired(service), qos=1)
            pod.subscribe(topics.desired(ONE), qos=1)
            pod.subscribe(topics.data(service))
        depot.subscribe(topics.request("+"))
        driver.subscribe(topics.state("+"), qos=1)
        for link in (*pods, depot, driver):
            connected(link)
        driver.publish(topics.desired(ONE), b"not for servers", qos=1)
        driver.publish(topics.desired(service), b"run this", qos=1)
        for pod in pods:
            assert arrival(pod, topics.desired(service)).payload == b"run this"
        pods[1].publish(topics.state(ONE), b"lies", qos=1)
        pods[1].publish(topics.request(service), b"send that")
        assert arrival(depot, topics.request(service)).payload == b"send that"
        pods[0].publish(topics.state(service), b"it runs", qos=1)
        assert arrival(driver, topics.state(service)).payload == b"it runs"
        for link in (*pods, depot, driver):
            link.close()
    finally:
        broker.stop()


@pytest.mark.broker
def test_where_devices_answer_over_mqtt_each_asks_and_hears_in_its_own_name(
    tmp_path, free_port, wait_until, require
):
    require("mosquitto")
    site = load_texts({"tiers.yaml": CLINIC.read_text().replace("broker:\n", "broker:\n  inference: true\n")})
    broker = ClinicBroker(tmp_path / "broker", free_port, site.topology)
    broker.start()
    try:
        wait_until(broker.answers, "the rendered Mosquitto answers")
        reader = "station-1"
        names = (ONE, OTHER, reader, OPERATOR)
        question, reference = TOPICS.question(ONE, "us", reader), TOPICS.question(ONE, "us", reader) + "/7"
        answer, other = TOPICS.answer(reader, ONE), TOPICS.answer(reader, ONE) + "/7"
        links = {name: broker.link(name) for name in names}
        for link in links.values():
            for topic in (f"{TOPICS.root}/i/#", f"{TOPICS.root}/o/#", TOPICS.rollout("last"), MANIFEST):
                link.subscribe(topic, qos=1)
            connected(link)
        for name, link in links.items():
            for topic in (question, reference, answer, other):
                link.publish(topic, name.encode(), qos=1)
            assert link.flush(60)
        links[OPERATOR].publish(MANIFEST, b"last", qos=1)
        heard = {name: heard_until_last(link) for name, link in links.items()}
    finally:
        for link in links.values():
            link.close()
        broker.stop()
    assert heard == {
        ONE: {(question, reader), (reference, reader)},
        reader: {(answer, ONE), (other, ONE)},
        OTHER: set(),
        OPERATOR: set(),
    }


def test_a_list_of_the_revoked_is_mounted_and_named():
    changed = CLINIC.read_text().replace(
        "    storage: {class: nvme", "    revoked: {secret: clients-ca/ca.crl}\n    storage: {class: nvme"
    )
    site = load_texts({"tiers.yaml": changed}).topology
    conf = rendered("ConfigMap", "tiers-broker", site)["data"]["mosquitto.conf"]
    assert "crlfile /mosquitto/revoked/ca.crl\n" in conf
    (container,) = rendered("Deployment", "tiers-broker", site)["spec"]["template"]["spec"]["containers"]
    assert "/mosquitto/revoked" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "crlfile" not in rendered("ConfigMap", "tiers-broker")["data"]["mosquitto.conf"]


def test_no_value_begins_a_line_of_its_own():
    role = {"name": "x\nuser root", "what": "", "reads": (), "writes": ()}
    view = {"device_reads": (), "device_writes": (), "roles": (role,), "hidden": ()}
    with pytest.raises(RenderError, match="more than one line"):
        fill_lines("edge/topics.acl.j2", broker=view)


def test_the_golden_case_has_a_broker():
    assert clinic().broker.deploy is not None
