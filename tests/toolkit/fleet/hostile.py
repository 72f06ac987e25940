"""A site as `tiers` sets it up without Kubernetes, and somebody inside who keeps to no rule.

Real Mosquitto with the rendered files, real certificates from `device enroll`, and a client of paho that sends what our
own link never would.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.conftest import end_mosquitto, mosquitto_answers, program
from toolkit.fleet.authority import make_authority
from toolkit.fleet.enroll import Policy, enroll, revoke
from toolkit.link.identity import request_identity
from toolkit.link.settings import TlsSettings
from toolkit.render.broker import standalone_configuration
from toolkit.topology.load import load_texts
from toolkit.topology.topology import Topology
from toolkit.wire.keyring import Keyring

WAIT_SECONDS = 60.0
SITE_YAML = """
version: 1
name: ward
registry: file:///srv/registry
broker: {{url: "mqtts://127.0.0.1:{port}"}}
clusters: {{main: {{context: ward, tiers: [edge]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
tiers: {{edge: {{storage: "file:///var/lib/tiers/data",
  pools: {{carts: {{hardware: jetson-orin-nano, nodes: {{names: [cart-1, cart-2]}}}}}}}}}}
"""


@dataclass
class Ward:
    """A small site with a broker of its own and everybody enrolled."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    names: tuple[str, ...] = (
        "cart-1",
        "cart-2",
        "tiers:depot",
        "tiers:driver",
        "tiers:operator",
        "tiers:broker",
    )

    def __post_init__(self) -> None:
        self.site: Topology = load_texts({"tiers.yaml": SITE_YAML.format(port=self.port)}).topology
        self.authority = self.folder / "authority"
        self.broker = self.folder / "broker"
        self.broker.mkdir(parents=True)
        make_authority(self.authority, self.site.name, self.now)
        requests = [self._request(name) for name in self.names]
        enroll(self.site, self.authority, requests, self.folder, Policy(Keyring(), ""), self.now)
        for name in ("crt", "key"):
            (self.broker / f"broker.{name}").write_bytes((self.folder / f"tiers-broker.{name}").read_bytes())
        (self.broker / "ca.crt").write_bytes((self.authority / "ca.crt").read_bytes())
        self.hand_over_revoked()

    @property
    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def hand_over_revoked(self) -> None:
        (self.broker / "ca.crl").write_bytes((self.authority / "ca.crl").read_bytes())

    def revoke(self, name: str) -> None:
        revoke(self.site, self.authority, [name], "", self.now)
        self.hand_over_revoked()

    def _request(self, name: str) -> Path:
        stem = self.folder / name.replace(":", "-")
        return request_identity(name, Path(f"{stem}.key"), Path(f"{stem}.csr")).request_file

    def start(self, *, as_it_is: bool = False) -> None:
        config = self.broker / "mosquitto.conf"
        if not as_it_is:
            for name, text in standalone_configuration(self.site, self.broker).items():
                (self.broker / name).write_text(text)
            (self.broker / "data").mkdir(exist_ok=True)
            if os.geteuid() == 0:
                config.write_text(
                    f"user root\n{config.read_text()}"
                )  # else it may not enter the test's folder
        executable = program("mosquitto")
        assert executable is not None
        with (self.broker / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([executable, "-c", str(config)], stdout=log, stderr=log)

    def answers(self) -> bool:
        return mosquitto_answers(self.process, self.broker / "mosquitto.log", ("127.0.0.1", self.port))

    def stop(self) -> None:
        if self.process is not None:
            end_mosquitto(self.process)
            self.process = None

    def files_of(self, name: str) -> TlsSettings:
        stem = self.folder / name.replace(":", "-")
        return TlsSettings(str(self.authority / "ca.crt"), f"{stem}.crt", f"{stem}.key")

    def client(self, name: str, **more: object) -> Client:
        return Client(self.port, self.files_of(name), **more)  # type: ignore[arg-type]


@dataclass
class Client:
    """A client without manners. `heard` is (topic, payload) in order."""

    port: int
    tls: TlsSettings | None
    client_id: str = ""
    will: tuple[str, bytes] | None = None
    newest_tls: ssl.TLSVersion | None = None
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    ended: int = 0
    """How often its connection was ended by the other side."""

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: dict[int, bool] = {}
        self.accepted: bool | None = None
        self._paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if self.tls is not None:
            self._paho.tls_set_context(self._context(self.tls))
        if self.will is not None:
            self._paho.will_set(*self.will, qos=1, retain=True)
        self._paho.on_connect = lambda *each: self._note(accepted=not each[3].is_failure)
        self._paho.on_message = lambda *each: self._note(heard=(each[2].topic, bytes(each[2].payload)))
        self._paho.on_disconnect = lambda *_: self._note(ended=True)
        self._paho.on_subscribe = lambda *each: self._note(mid=each[2], fine=True)
        self._paho.on_publish = lambda *each: self._note(mid=each[2], fine=not each[3].is_failure)

    def connect(self) -> bool:
        """Try to come in; tell whether the broker accepted."""
        try:
            self._paho.connect("127.0.0.1", self.port, keepalive=60)
            self._paho.loop_start()
        except OSError:
            return False
        self.wait_for(lambda: self.accepted is not None or self.ended)
        return bool(self.accepted)

    def subscribe(self, topic: str) -> None:
        """Subscribe and wait until the broker has said something to it."""
        _, mid = self._paho.subscribe(topic, qos=1)
        assert mid is not None
        self.wait_for(lambda: mid in self._answers or self.ended)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish at QoS 1; tell whether the broker took it."""
        mid = self._paho.publish(topic, payload, qos=1, retain=retain).mid
        self.wait_for(lambda: mid in self._answers or self.ended)
        return self._answers.get(mid, False)

    def wait_for(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_SECONDS), f"it did not come; heard {self.heard}"

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()
        sock, client = self._paho.socket(), self._paho
        if sock is not None:
            sock.close()
        # Lets go of paho, which closes sockets of its own then.
        client.on_connect = client.on_message = client.on_disconnect = client.on_subscribe = (
            client.on_publish
        ) = None

    def vanish(self) -> None:
        """End the connection without a word, so that the broker sends the last will."""
        sock = self._paho.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)

    def _context(self, tls: TlsSettings) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.certificate_file:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
        if self.newest_tls is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.maximum_version = self.newest_tls  # old ones are what this is about
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.set_ciphers("DEFAULT@SECLEVEL=0")
        return context

    def _note(
        self,
        *,
        accepted: bool | None = None,
        heard: tuple[str, bytes] | None = None,
        ended: bool = False,
        mid: int | None = None,
        fine: bool = False,
    ) -> None:
        with self._changed:
            if accepted is not None:
                self.accepted = accepted
            if heard is not None:
                self.heard.append(heard)
            if mid is not None:
                self._answers[mid] = fine
            self.ended += ended
            self._changed.notify_all()
