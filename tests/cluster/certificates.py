"""A certificate authority of one session, the leaf certificates of its servers, and the key of service accounts."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Authority:
    """Writes `ca.crt`, `sa.key` and, for each name asked for, NAME.crt and NAME.key into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tiers test authority")])
        self.certificate = self._builder(self.name, self.key, ca=True).sign(self.key, hashes.SHA256())
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.account_key = self._write_key("sa", ec.generate_private_key(ec.SECP256R1()))

    def server(self, name: str) -> tuple[Path, Path]:
        """Make the certificate and key of a server on loopback; gives both paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "10.0.0.1")]
        builder = self._builder(subject, key, ca=False).add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False
        )
        path = self.folder / f"{name}.crt"
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path, self._write_key(name, key)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    def _write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> Path:
        path = self.folder / f"{name}.key"
        form = serialization.PrivateFormat.TraditionalOpenSSL  # the API server reads no other for accounts
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        path.chmod(0o600)
        return path
