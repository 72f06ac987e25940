"""Enrolment on the device: a key that never leaves it, a request to be let in, and what comes back put in its places.

    request -> (tiers device enroll) -> take_answer -> the daemon connects

Runs before the first `tiers-edge run`, and again when a certificate is renewed or the keyring changes. Either step
may be repeated; the certificate is written last, so a device that has it has everything.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from edge_runtime.config import read_config
from toolkit.errors import IntegrityError, StoreError, UsageError
from toolkit.link.identity import common_names, public_bytes_of, read_private_key, request_identity
from toolkit.sync.whole import write_whole
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.document import MAX_DOCUMENT_BYTES, encode_json
from toolkit.wire.enrolment import EnrolmentAnswer, decode_answer
from toolkit.wire.keyring import key_id_of


@dataclass(frozen=True)
class Asked:
    """A request that is ready to be carried away."""

    device: str
    request_file: Path
    made_key: bool


@dataclass(frozen=True)
class Taken:
    """What the answer made of this device."""

    device: str
    until: dt.datetime
    """End of the certificate, UTC."""
    trusted: tuple[str, ...]
    """Keys whose seals count."""
    warnings: tuple[str, ...]


def request(config_file: Path, node_name: str) -> Asked:
    """Make the device's key, unless it has one, and its request, a .csr beside the key.

    Args:
        config_file: the device's configuration.
        node_name: its name if the configuration gives none.

    Raises:
        UsageError: the configuration names no files for key and certificate, or cannot be read.
        IntegrityError: what lies in the key's place is no key, or others may read it.
        StoreError: a file cannot be written.
    """
    _, config = read_config(config_file, node_name)
    key_file, _ = _places(config_file, config)
    made = request_identity(config.device, key_file, key_file.with_suffix(".csr"))
    return Asked(config.device, made.request_file, made.made_key)


def take_answer(config_file: Path, node_name: str, answer_file: Path) -> Taken:
    """Check an answer against key, name and site of this device, and put certificate, authority and keyring in place.

    Whether the certificate holds at this hour is not looked at: the clock may not be right yet.

    Raises:
        UsageError: a file cannot be read, or there is no place for what came.
        IntegrityError: the answer is another device's or another key's, or damaged; nothing was written.
        StoreError: a file cannot be written.
    """
    file, config = read_config(config_file, node_name)
    key_file, certificate_file = _places(config_file, config)
    answer, certificate = _read(answer_file, config)
    if public_bytes_of(certificate) != public_bytes_of(read_private_key(key_file)):
        raise IntegrityError(
            f"the certificate in {answer_file} is for another key than {key_file}",
            hint=f"send the request again: {key_file.with_suffix('.csr')}",
        )
    keyring_file = file.parent / config.keyring_file
    own_ca = certificate_file.with_name("ca.crt")
    try:
        keyring_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(keyring_file, encode_json(answer.keyring) + b"\n", mode=0o644)
        if answer.broker_authority:
            write_whole(own_ca, answer.broker_authority.encode(), mode=0o644)
        write_whole(certificate_file, answer.certificate.encode(), mode=0o644)
    except OSError as error:
        raise StoreError(
            f"{error.filename or certificate_file} cannot be written: {error.strerror}"
        ) from error
    warnings = []
    broker = config.broker
    if (broker.host, broker.port) != (answer.host, answer.port):
        there = f"{answer.host}:{answer.port}"
        warnings.append(f"the configuration connects to {broker.host}:{broker.port}, tiers.yaml says {there}")
    if answer.broker_authority and not broker.ca_file:
        warnings.append(f"broker.ca_file is not set; the broker's authority is in {own_ca}")
    trusted = tuple(
        f"{key.name or key_id_of(key.public)} ({'+'.join(key.roles)})" for key in answer.keyring.keys
    )
    return Taken(config.device, certificate.not_valid_after_utc, trusted, tuple(warnings))


def _places(file: Path, config: DeviceConfig) -> tuple[Path, Path]:
    key, certificate = config.broker.key_file, config.broker.certificate_file
    if not key or not certificate:
        raise UsageError(
            f"{file}: broker.key_file and broker.certificate_file are not set",
            hint="name where the device's key and certificate shall be, such as identity/device.key",
        )
    return Path(key), Path(certificate)


def _read(file: Path, config: DeviceConfig) -> tuple[EnrolmentAnswer, x509.Certificate]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"answer {file} cannot be read: {error.strerror}", hint="name the file that came"
        ) from error
    answer = decode_answer(data, what=f"answer {file}")
    if (answer.site, answer.device) != (config.site, config.device):
        raise IntegrityError(
            f"answer {file} is for {answer.device} of site {answer.site}, this is {config.device} of {config.site}",
            hint="take the answer of this device",
        )
    if not answer.keyring.keys:
        raise IntegrityError(
            f"answer {file} trusts nobody, so the device would obey nobody",
            hint="enroll again with the site's keyring: tiers device enroll --keyring keyring.json",
        )
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    except ValueError as error:
        raise IntegrityError(f"answer {file} holds no certificate: {error}") from error
    if common_names(certificate.subject) != [config.device]:
        raise IntegrityError(f"the certificate in {file} is not in the name of {config.device}")
    return answer, certificate
