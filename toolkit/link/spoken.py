"""Prove who put something down on a topic, past a broker that may lie: the device's own certificate and its signature.

`edge_runtime.drain` signs batches of records with the key that `identity` made, `fleet.records` checks them against the
site's authority (`fleet.authority`) before it stores them. Without that, whoever holds the broker could put other
records in the place of a device's, and the receiver's honest answer would make the device forget its own. Signed is

    tiers/1 spoken NUL topic NUL payload

with ECDSA or RSA (PKCS #1 v1.5) over SHA-256, as the key of the certificate is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from toolkit.errors import IntegrityError, SignatureError, UsageError
from toolkit.link.identity import PEM_LIMIT, PrivateKey, common_names, read_private_key
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.learnt import learn

SPOKEN_BYTES: Final = 4096
"""What certificate and signature add to a payload, at most; P-256 takes some 700."""
_KNOWN: Final = 1024
"""Certificates that are remembered as good."""
_HINT: Final = "enroll the device at this site: tiers device enroll"


Stamp: TypeAlias = tuple[int, int, int]


class Spoken(Document, frozen=True, kw_only=True):
    """A payload with the certificate of who sends it, and the signature of that."""

    FORMAT: ClassVar[int] = 1
    certificate: bytes
    """X.509 in DER."""
    value: bytes
    payload: bytes


class Signer:
    """Signs what a device says."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Read the device's certificate and key.

        Raises:
            IntegrityError: one of them is none, or they are larger than a message has room for.
        """
        self._files = certificate_file, key_file
        self._stamp = _stamp(certificate_file)
        self._key, self._certificate = self._load()

    def _load(self) -> tuple[PrivateKey, bytes]:
        certificate_file, key_file = self._files
        certificate = _read(certificate_file).public_bytes(Encoding.DER)
        if len(certificate) + 1024 > SPOKEN_BYTES:
            raise IntegrityError(f"certificate {certificate_file} is too large to go with each message")
        return read_private_key(key_file), certificate

    def sign(self, payload: bytes, topic: str) -> bytes:
        """Give what is to be published on this topic; a certificate that was renewed meanwhile is used from now on."""
        stamp = _stamp(self._files[0])
        if stamp != self._stamp:
            self._stamp = stamp
            with suppress(IntegrityError):
                self._key, self._certificate = self._load()
        data = _signed_bytes(topic, payload)
        if isinstance(self._key, rsa.RSAPrivateKey):
            value = self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        else:
            value = self._key.sign(data, ec.ECDSA(hashes.SHA256()))
        return encode_msgpack(Spoken(certificate=self._certificate, value=value, payload=payload))


class Speakers:
    """Those whom a site's authority has enrolled."""

    def __init__(
        self, authority_file: Path, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    ) -> None:
        """Read the authority's certificate; who is in the `ca.crl` beside it, if there is one, is not listened to.

        Args:
            authority_file: PEM, `ca.crt` of the authority's folder.
            now: the time, with its zone.

        Raises:
            UsageError: it is no certificate of an authority.
        """
        try:
            self._authority = _read(authority_file)
        except IntegrityError as error:
            raise UsageError(error.message, hint="--authority FOLDER/ca.crt") from error
        self._now = now
        self._revoked_file = authority_file.with_name("ca.crl")
        self._stamp: Stamp | None = None
        self._revoked: frozenset[int] = frozenset()
        self._known: dict[bytes, x509.Certificate] = {}

    def open(self, data: bytes, topic: str, device: str, *, limit: int) -> bytes:
        """Give what this device has said on this topic.

        Args:
            data: as it came, of at most `limit` bytes without certificate and signature.
            topic: on which it came.
            device: whose topic that is.
            limit: bytes.

        Raises:
            IntegrityError: it is too large or damaged.
            SignatureError: this device has not said it, or is not enrolled any more.
        """
        spoken = read_spoken(data, limit=limit)
        if spoken is None:
            raise SignatureError(f"what came on the topic of {device} is not signed", hint=_HINT)
        certificate = self._checked(spoken.certificate, device)
        try:
            _verify(certificate, spoken.value, _signed_bytes(topic, spoken.payload))
        except InvalidSignature:
            message = f"the signature on what came on the topic of {device} does not hold"
            raise SignatureError(
                message, hint="it was changed on its way, or said on another topic"
            ) from None
        return spoken.payload

    def _checked(self, der: bytes, device: str) -> x509.Certificate:
        certificate = self._known.get(der)
        if certificate is None:
            certificate = self._enrolled(der, device)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[der] = certificate
        if common_names(certificate.subject) != [device]:
            raise SignatureError(f"what came on the topic of {device} is signed by another", hint=_HINT)
        if not certificate.not_valid_before_utc <= self._now() <= certificate.not_valid_after_utc:
            raise SignatureError(f"the certificate of {device} does not hold at this time", hint=_HINT)
        self._look()
        if certificate.serial_number in self._revoked:
            raise SignatureError(f"the certificate of {device} was revoked", hint=_HINT)
        return certificate

    def _enrolled(self, der: bytes, device: str) -> x509.Certificate:
        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(self._authority)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
            message = f"what came on the topic of {device} has no certificate of this site's authority"
            raise SignatureError(message, hint=_HINT) from error
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            raise SignatureError(f"the certificate of {device} is not one of a client", hint=_HINT)
        return certificate

    def _look(self) -> None:
        """Read the list of the revoked again when it is another; one that cannot be read changes nothing."""
        try:
            stamp = _stamp(self._revoked_file)
            if stamp in (self._stamp, None):
                return
            revoked = x509.load_pem_x509_crl(self._revoked_file.read_bytes())
            if revoked.is_signature_valid(self._authority.public_key()):  # type: ignore[arg-type]
                self._revoked = frozenset(each.serial_number for each in revoked)
                self._stamp = stamp
        except (OSError, ValueError, TypeError):
            return


def read_spoken(data: bytes, *, limit: int) -> Spoken | None:
    """Take a message apart; None where it is a bare payload.

    Raises:
        IntegrityError: it is too large or damaged.
    """
    try:
        looks = msgspec.msgpack.decode(data[: limit + SPOKEN_BYTES], type=learn(_Looks))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if looks.certificate is None:
        return None
    return decode_msgpack(data, Spoken, what="signed message", limit=limit + SPOKEN_BYTES)


class _Looks(msgspec.Struct):
    certificate: object = None


def _stamp(file: Path) -> Stamp | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _read(file: Path) -> x509.Certificate:
    try:
        with file.open("rb") as stream:
            return x509.load_pem_x509_certificate(stream.read(PEM_LIMIT))
    except OSError as error:
        raise IntegrityError(f"certificate {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise IntegrityError(f"{file} is not a certificate in PEM") from error


def _verify(certificate: x509.Certificate, value: bytes, data: bytes) -> None:
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(value, data, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(value, data, ec.ECDSA(hashes.SHA256()))
    else:
        raise InvalidSignature


def _signed_bytes(topic: str, payload: bytes) -> bytes:
    return b"\0".join((b"tiers/1 spoken", topic.encode(), payload))
