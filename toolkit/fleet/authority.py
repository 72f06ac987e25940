"""The authority of a site: the key that signs certificates of devices, of the cloud's side and of the broker.

    FOLDER/authority.key     secret, mode 0600; never overwritten, never printed
    FOLDER/ca.crt            goes to the broker, and to all who shall know it
    FOLDER/ca.crl            whose certificates hold no longer; goes to the broker
    FOLDER/register.json     see `register`
    FOLDER/certificates/     what was signed, by serial number

Certificates follow RFC 5280. The list of the revoked ends with the authority: a broker that is not handed a new one in
time would lock out everybody, and a revocation counts from the moment that the broker reads the new list anyway.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from toolkit.errors import IntegrityError, SignatureError, StoreError, UsageError
from toolkit.fleet.register import REGISTER_FILE, Register, read_register, write_register
from toolkit.link.identity import public_bytes_of, read_private_key, write_new_key
from toolkit.sync.key_file import open_to_others
from toolkit.sync.whole import write_whole

KEY_FILE, CERTIFICATE_FILE, REVOKED_FILE = "authority.key", "ca.crt", "ca.crl"
CERTIFICATES = "certificates"
AUTHORITY_YEARS = 20
BACKDATED = timedelta(days=1)
"""How long before now a certificate begins to hold: clocks of devices and brokers differ."""


@dataclass(frozen=True)
class Authority:
    """An authority that may sign."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def sign(
        self,
        name: str,
        public: CertificatePublicKeyTypes,
        days: float,
        now: datetime,
        *,
        hosts: tuple[str, ...] = (),
    ) -> x509.Certificate:
        """Sign a certificate for a client, or for a server that is reached under `hosts`.

        Args:
            name: the common name, which the broker takes for the user.
            public: the key of whom it is for.
            days: how long it holds; the authority's own end comes first.
            now: the time.
            hosts: names and addresses of a server; nothing makes it a client.
        """
        builder = (
            _certificate(name, public, self.certificate.subject, now)
            .not_valid_after(min(now + timedelta(days=days), self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(_made_by(self.key), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def revoke(self, register: Register, now: datetime) -> bytes:
        """Give the list of revoked certificates of a register, in PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(register.list_number), critical=False)
            .add_extension(_made_by(self.key), critical=False)
        )
        for entry in register.entries:
            if entry.revoked_at:
                revoked = (
                    x509.RevokedCertificateBuilder()
                    .serial_number(int(entry.serial, 16))
                    .revocation_date(datetime.fromtimestamp(entry.revoked_at, timezone.utc))
                )
                builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def make_authority(folder: Path, site: str, now: datetime) -> bool:
    """Make the authority of a site, or what is missing of it. Repeating it changes nothing.

    Returns:
        Whether anything was made.

    Raises:
        UsageError: an authority of another site lies there.
        IntegrityError: what lies there does not belong together.
        StoreError: a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(folder):
            key_file, made = folder / KEY_FILE, False
            if not key_file.exists():
                if (folder / CERTIFICATE_FILE).exists():
                    raise IntegrityError(
                        f"{folder} has the certificate of an authority, and not its key",
                        hint="bring back the key from where it is kept, or take another folder",
                    )
                made = write_new_key(key_file, ec.generate_private_key(ec.SECP256R1()))
            key = _read_key(folder)
            if not (folder / CERTIFICATE_FILE).exists():
                pem = _own_certificate(f"tiers authority of {site}", key, now).public_bytes(Encoding.PEM)
                write_whole(folder / CERTIFICATE_FILE, pem, mode=0o644)
                made = True
            if not (folder / REGISTER_FILE).exists():
                write_register(folder, Register(site=site))
                made = True
            authority, register = open_authority(folder, site)
            if not (folder / REVOKED_FILE).exists():
                write_whole(folder / REVOKED_FILE, authority.revoke(register, now), mode=0o644)
                made = True
    except OSError as error:
        raise StoreError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return made


def open_authority(folder: Path, site: str) -> tuple[Authority, Register]:
    """Read an authority and its register; for who holds its lock.

    Raises:
        UsageError: there is none in the folder, or it is another site's.
        IntegrityError: key, certificate or register are damaged or do not belong together.
    """
    register = read_register(folder)
    if register.site != site:
        raise UsageError(
            f"{folder} is the authority of site {register.site}, tiers.yaml is of {site}",
            hint="each site has its own: --authority FOLDER",
        )
    key = _read_key(folder)
    try:
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{folder / CERTIFICATE_FILE} cannot be read: {error}") from error
    if public_bytes_of(certificate) != public_bytes_of(key):
        raise IntegrityError(
            f"{folder / CERTIFICATE_FILE} is not the certificate of {folder / KEY_FILE}",
            hint="bring back the two that belong together",
        )
    return Authority(folder, key, certificate), register


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work on an authority; others wait.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        hint = (
            f"tiers device authority {folder} makes a new authority; else name the folder: --authority FOLDER"
        )
        raise UsageError(f"there is no authority in {folder}: {error.strerror}", hint=hint) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    file = folder / KEY_FILE
    key = read_private_key(file)
    facts = file.stat()
    if open_to_others(facts.st_mode, owner=facts.st_uid, user=os.geteuid()):
        raise SignatureError(f"key {file} can be read by others", hint=f"chmod 600 {file}")
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IntegrityError(
            f"{file} is not the key of an authority of ours", hint="name the right folder: --authority"
        )
    return key


def _own_certificate(name: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _certificate(name, key.public_key(), subject, now)
        .not_valid_after(now + timedelta(days=365 * AUTHORITY_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256())


def _certificate(
    name: str, public: CertificatePublicKeyTypes, issuer: x509.Name, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _made_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
