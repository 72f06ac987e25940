"""Who we are to a broker: a key made where it is used, and the request to have it signed (PKCS#10, RFC 2986).

The key is ECDSA on P-256, which every TLS 1.2 library and every broker takes; Ed25519 they do not all take. It never
leaves its machine and is never overwritten. Used by `tiers-edge enroll` on a device and by `tiers device request` for
the cloud's side; `fleet.enroll` signs the request, and the certificate lies beside the key afterwards.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from toolkit.errors import IntegrityError, StoreError

PEM_LIMIT = 64 * 1024
"""Bytes of a key, a request or a certificate that are looked at."""
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Requested:
    """A key and the request that it signed."""

    key_file: Path
    request_file: Path
    made_key: bool
    """False when the key was there already."""


def request_identity(name: str, key_file: Path, request_file: Path) -> Requested:
    """Make a key, unless there is one, and write the request to have it signed. Repeating it changes nothing.

    Args:
        name: what the certificate shall say; a device's own name.
        key_file: PKCS#8 PEM of mode 0600; its folder is made.
        request_file: PEM of the request.

    Raises:
        IntegrityError: what lies at `key_file` is no such key, or others may read it.
        StoreError: a file cannot be written.
    """
    try:
        key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = not key_file.exists() and write_new_key(key_file, ec.generate_private_key(ec.SECP256R1()))
        key = read_private_key(key_file)
        if not _asks_the_same(request_file, name, key):
            request_file.parent.mkdir(parents=True, exist_ok=True)
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            request = x509.CertificateSigningRequestBuilder().subject_name(subject)
            _put(
                request_file, request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), os.replace, 0o644
            )
    except OSError as error:
        raise StoreError(f"{error.filename or key_file} cannot be written: {error.strerror}") from error
    return Requested(key_file, request_file, made)


def write_new_key(file: Path, key: ec.EllipticCurvePrivateKey) -> bool:
    """Write a key that nobody but the owner may read; whole or not at all, and never over another file.

    Returns:
        False when somebody else made the file in the meantime; it is left alone.

    Raises:
        OSError: the disk did not take it.
    """
    try:
        # Unlike a rename, a link never replaces.
        _put(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), os.link, 0o600)
    except FileExistsError:
        return False
    return True


def read_private_key(file: Path) -> PrivateKey:
    """Read the key of a certificate.

    Raises:
        IntegrityError: it cannot be read, others may read it, or it is no unencrypted ECDSA or RSA key in PEM.
    """
    hint = "move it away and make a new one; the certificate of the old one is then of no use"
    try:
        with file.open("rb") as stream:
            mode, pem = os.fstat(stream.fileno()).st_mode, stream.read(PEM_LIMIT)
    except OSError as error:
        raise IntegrityError(f"key {file} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        message = f"key {file} can be read by others (mode {stat.S_IMODE(mode):o})"
        raise IntegrityError(message, hint=f"chmod 600 {file}")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError(f"{file} is not an unencrypted key in PEM", hint=hint) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise IntegrityError(f"the key in {file} is neither ECDSA nor RSA", hint=hint)
    return key


def public_bytes_of(
    holder: PrivateKey | x509.Certificate | x509.CertificateSigningRequest,
) -> bytes:
    """Give the public key of a key, certificate or request: its SubjectPublicKeyInfo in DER (RFC 5280, 4.1.2.7)."""
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def common_names(name: x509.Name) -> list[str]:
    """Give the common names of a subject; what is to be trusted has exactly one."""
    return [str(each.value) for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _put(file: Path, data: bytes, place: Callable[[Path, Path], None], mode: int) -> None:
    """Write beside the place, flush, and `place` it there; as sync.whole does, which this room stands below."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        place(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _asks_the_same(file: Path, name: str, key: PrivateKey) -> bool:
    with contextlib.suppress(OSError, ValueError):
        request = x509.load_pem_x509_csr(file.read_bytes())
        same_key = public_bytes_of(request) == public_bytes_of(key)
        return same_key and request.is_signature_valid and common_names(request.subject) == [name]
    return False
