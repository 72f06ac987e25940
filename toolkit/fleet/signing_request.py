"""Read a signing request that may come from anybody, and refuse what no certificate should be made of.

First step of `enroll`. A request proves that whoever made it has the key; what else it asks for is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from toolkit.errors import IntegrityError, SignatureError, UsageError
from toolkit.link.identity import PEM_LIMIT, common_names, public_bytes_of
from toolkit.wire.digest import digest_of

LEAST_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True)
class SigningRequest:
    """A request whose signature holds."""

    file: Path
    name: str
    public: PublicKey
    spki: bytes
    """The public key in DER."""


def read_signing_request(file: Path) -> SigningRequest:
    """Read a request in PEM.

    Raises:
        UsageError: the file cannot be read.
        IntegrityError: it is no request, its key is too weak or of a kind that brokers do not take, or it names nobody.
        SignatureError: it is not signed by its own key.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(PEM_LIMIT + 1)
    except OSError as error:
        hint = "on the device: tiers-edge enroll --config FILE"
        raise UsageError(f"request {file} cannot be read: {error.strerror}", hint=hint) from error
    again = "make a new one on the device: tiers-edge enroll --config FILE"
    if b"PRIVATE KEY" in data:
        raise IntegrityError(
            f"{file} holds a private key", hint="a key stays where it was made; send the request (.csr) only"
        )
    try:
        request = x509.load_pem_x509_csr(data if len(data) <= PEM_LIMIT else b"")
        holds, public, names = request.is_signature_valid, request.public_key(), common_names(request.subject)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IntegrityError(f"{file} is not a signing request in PEM", hint=again) from error
    if not holds:
        raise SignatureError(f"{file} is not signed by the key that it shows", hint=again)
    if len(names) != 1:
        raise IntegrityError(f"{file} has {len(names)} common names; a request names one device", hint=again)
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < LEAST_RSA_BITS:
        message = f"the RSA key of {file} has {public.key_size} bits, at least {LEAST_RSA_BITS} are needed"
        raise IntegrityError(message, hint=again)
    on_curve = isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, CURVES)
    if isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and (
        on_curve or isinstance(public, rsa.RSAPublicKey)
    ):
        return SigningRequest(file, names[0], public, public_bytes_of(request))
    raise IntegrityError(
        f"the key of {file} is neither ECDSA on a NIST curve nor RSA, so some brokers would not take it",
        hint=again,
    )


def key_digest(spki: bytes) -> str:
    """Name a public key in the register: the BLAKE3 digest of its SubjectPublicKeyInfo."""
    return digest_of(spki)
