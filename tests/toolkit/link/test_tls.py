"""mqtts against a real Mosquitto, with an authority, a broker and a device made here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from queue import Empty

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.contracts.link import arrival, connected
from toolkit.errors import UnreachableError
from toolkit.link.choose import make_link
from toolkit.link.link import Disconnected
from toolkit.link.settings import ClientName, LinkSettings, TlsSettings, settings_from_url
from toolkit.link.tls import tls_context


@dataclass
class Authority:
    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = self.folder / f"{self.name}.pem"
        self.certificate = self._sign(self.name, self.key.public_key(), ca=True)
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[str, str]:
        """Give the files of a certificate for `name` at 127.0.0.1, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate_file.write_bytes(self._sign(name, key.public_key(), ca=False).public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(certificate_file), str(key_file)

    def _sign(self, name: str, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
                    key_encipherment=False, data_encipherment=False, key_agreement=False,
                    encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )  # fmt: skip
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "hospital-ca")


def _settings(port: int, tls: TlsSettings, client: ClientName) -> LinkSettings:
    settings = settings_from_url(f"mqtts://127.0.0.1:{port}", "box-1", tls=tls)
    return replace(settings, retry_first_seconds=0.05, client=client)


@pytest.fixture(params=["paho", "awscrt"])
def client(request, require) -> ClientName:
    if request.param == "awscrt":
        require("awscrt")
    return request.param


@pytest.fixture
def broker(mosquitto, authority: Authority):
    certificate, key = authority.issue("broker")
    mosquitto.stop()
    mosquitto.settings = (
        "allow_anonymous false", "require_certificate true", "use_identity_as_username true",
        f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}",
    )  # fmt: skip
    mosquitto.start()
    return mosquitto


@pytest.mark.broker
def test_both_sides_show_a_certificate_and_large_messages_pass(
    broker, authority: Authority, client: ClientName
) -> None:
    link = make_link(
        _settings(broker.port, TlsSettings(str(authority.file), *authority.issue("box-1")), client)
    )
    link.subscribe("t", qos=1)
    connected(link)
    payload = bytes(range(256)) * 1024
    for _ in range(20):
        link.publish("t", payload, qos=1)
    for _ in range(20):
        assert arrival(link, "t").payload == payload
    assert link.flush(60)
    link.close()


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.broker
def test_a_broker_of_another_authority_is_refused(
    broker, authority: Authority, client: ClientName, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "somebody")
    link = make_link(_settings(broker.port, TlsSettings(str(other.file), *authority.issue("box-1")), client))
    link.connect()
    # awscrt's TLS library tells of a failed handshake 10 to 30 s later, so that nobody learns from the time it took.
    try:
        event = link.events.get(timeout=30 if client == "paho" else 2)
    except Empty:
        event = Disconnected("certificate verify failed, told later")
        assert client == "awscrt"
    link.close()
    assert isinstance(event, Disconnected)
    assert "certificate verify failed" in event.reason


@pytest.mark.broker
def test_a_device_without_a_certificate_is_not_let_in(
    broker, authority: Authority, client: ClientName
) -> None:
    link = make_link(_settings(broker.port, TlsSettings(str(authority.file)), client))
    link.connect()
    event = link.events.get(timeout=60)
    link.close()
    assert isinstance(event, Disconnected)
    assert str(broker.port) in event.reason


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for tls in (TlsSettings(ca_file=str(wrong)), TlsSettings(certificate_file=str(wrong))):
        with pytest.raises(UnreachableError, match=r"wrong\.pem"):
            tls_context(tls)
