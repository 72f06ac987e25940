"""Let devices in, and out again: sign their requests, write down whom, and list whose certificates hold no longer.

    tiers-edge enroll (key, request) -> here: checked, written down, signed -> answer -> tiers-edge enroll --answer
    revoke -> register, ca.crl -> broker

Write order: certificate, register, answer. What is out there is always in the register. One process at a time works
on an authority; whatever is repeated gives what is there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from toolkit.errors import GateRefusedError, IntegrityError, StoreError, UsageError
from toolkit.fleet.authority import (
    AUTHORITY_YEARS,
    CERTIFICATES,
    REVOKED_FILE,
    Authority,
    locked,
    open_authority,
)
from toolkit.fleet.names import BROKER, devices_of, hosts_of, known_name
from toolkit.fleet.register import Enrolled, Register, write_register
from toolkit.fleet.signing_request import SigningRequest, key_digest, read_signing_request
from toolkit.render.broker import broker_port
from toolkit.sync.whole import write_whole
from toolkit.topology.topology import Topology
from toolkit.topology.units import Duration
from toolkit.wire.document import encode_json
from toolkit.wire.enrolment import EnrolmentAnswer
from toolkit.wire.keyring import Keyring

VALID_DAYS = 730.0
SUPERSEDED = "replaced by another key"


@dataclass(frozen=True)
class Policy:
    """What certificates are made of, the same for all requests of one call."""

    keyring: Keyring
    """Whose seals devices shall obey."""
    broker_authority: str
    """PEM of whoever signs the broker's certificate; empty means the system's authorities."""
    days: float = VALID_DAYS
    replace: bool = False
    """Let somebody in with another key than before; the older certificates are revoked."""


@dataclass(frozen=True)
class Welcome:
    """Somebody who was let in."""

    name: str
    serial: str
    not_after: int
    """Unix seconds."""
    certificate_file: Path
    answer_file: Path | None
    """None for whom is no device."""
    signed: bool
    """False when the certificate was there already and holds for long enough."""


def enroll(
    topology: Topology,
    folder: Path,
    files: Sequence[Path],
    answers: Path,
    policy: Policy,
    now: datetime,
    *,
    name: str = "",
) -> tuple[Welcome, ...]:
    """Sign requests, all or none.

    A request whose key has a certificate with more than half of its time left gets the same one again.

    Args:
        topology: who there is.
        folder: of the authority.
        files: the requests.
        answers: folder for NAME.crt and, for a device, NAME.answer.json; made if missing.
        policy: what certificates are made of.
        now: the time.
        name: whom the only request has to name; empty takes what it says.

    Raises:
        UsageError: a file cannot be read, a name is not of tiers.yaml or another than was said; there is no authority.
        IntegrityError: a file is no sound request, or the authority is damaged.
        GateRefusedError: somebody is enrolled with another key, or the key was revoked.
        StoreError: a file cannot be written.
    """
    requests = [_checked(topology, read_signing_request(file), name) for file in files]
    _refuse_twice(requests)
    try:
        with locked(folder):
            authority, register = open_authority(folder, topology.name)
            (folder / CERTIFICATES).mkdir(exist_ok=True)
            found: list[tuple[x509.Certificate, bool]] = []
            for request in requests:
                certificate, register = _certificate(topology, authority, register, request, policy, now)
                found.append(certificate)
            if any(signed for _, signed in found):
                _keep(authority, register, now)
        answers.mkdir(parents=True, exist_ok=True)
        return tuple(
            _answer(topology, request.name, certificate, answers, policy, signed=signed)
            for request, (certificate, signed) in zip(requests, found, strict=True)
        )
    except OSError as error:
        raise StoreError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def revoke(
    topology: Topology, folder: Path, names: Sequence[str], reason: str, now: datetime
) -> tuple[Enrolled, ...]:
    """Revoke every certificate of these names that still holds, and write the list for the broker.

    Repeating it is harmless.

    Returns:
        What is revoked of these names now.

    Raises:
        UsageError: one of them was never enrolled (nothing is done then), or there is no authority.
        IntegrityError: the authority is damaged.
        StoreError: a file cannot be written.
    """
    with locked(folder):
        authority, register = open_authority(folder, topology.name)
        for name in names:
            if not any(register.of(name)):
                from_others = "" if name in devices_of(topology) else "; tiers.yaml does not know it either"
                raise UsageError(
                    f"{name!r} was never enrolled{from_others}",
                    hint=f"tiers device list --authority {folder}",
                )
        _keep(authority, _revoked(register, names, reason, now), now)
        register = open_authority(folder, topology.name)[1]
    return tuple(each for each in register.entries if each.name in names and each.revoked_at)


def days_of(text: str) -> float:
    """Read how long certificates shall hold.

    Raises:
        UsageError: it is no time, or not between an hour and the life of an authority.
    """
    hint = "--valid 730d"
    try:
        days = Duration.parse(text).seconds / 86400
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time: {error}", hint=hint) from error
    if not 1 / 24 <= days <= 365 * AUTHORITY_YEARS:
        raise UsageError(f"a certificate cannot hold for {text}", hint=hint)
    return days


def read_authority_of_broker(file: Path) -> str:
    """Read whom devices shall know the broker by.

    Raises:
        UsageError: the file cannot be read, or holds no certificate.
    """
    try:
        pem = file.read_bytes()
        x509.load_pem_x509_certificates(pem)
        return pem.decode("ascii")
    except (OSError, ValueError) as error:
        hint = "tiers device authority makes one; or name the broker's: --broker-ca FILE"
        raise UsageError(f"{file} holds no certificate of an authority: {error}", hint=hint) from error


def _checked(topology: Topology, request: SigningRequest, name: str) -> SigningRequest:
    if name and request.name != name:
        raise UsageError(
            f"{request.file} asks for {request.name[:80]!r}, not for {name!r}",
            hint="it is another device's; or set the right name there and make the request again",
        )
    known_name(topology, request.name)
    return request


def _refuse_twice(requests: Sequence[SigningRequest]) -> None:
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two of the requests are of {name}", hint="enroll one of them")


def _certificate(
    topology: Topology,
    authority: Authority,
    register: Register,
    request: SigningRequest,
    policy: Policy,
    now: datetime,
) -> tuple[tuple[x509.Certificate, bool], Register]:
    """Give the certificate and whether it is new, and the register with it."""
    key, seconds = key_digest(request.spki), int(now.timestamp())
    _refuse_revoked(register, request, key)
    holding = [each for each in register.of(request.name) if not each.revoked_at and each.not_after > seconds]
    others = [each for each in register.of(request.name) if not each.revoked_at and each.key != key]
    was_revoked = any(each.revoked_at for each in register.of(request.name)) and not holding
    if (others or was_revoked) and not policy.replace:
        what = "is enrolled with another key" if others else "was revoked"
        raise GateRefusedError(
            f"{request.name} {what}",
            hint="if you know that this request comes from it: the same again with --replace",
        )
    if others:
        register = _revoked(register, (request.name,), SUPERSEDED, now, but=key)
    for entry in reversed(holding):
        left, whole = entry.not_after - seconds, entry.not_after - entry.not_before
        if entry.key == key and 2 * left > whole:
            return (_kept_certificate(authority.folder, entry), bool(others)), register
    hosts = hosts_of(topology) if request.name == BROKER else ()
    made = authority.sign(request.name, request.public, policy.days, now, hosts=hosts)
    entry = Enrolled(
        name=request.name,
        serial=f"{made.serial_number:x}",
        key=key,
        not_before=int(made.not_valid_before_utc.timestamp()),
        not_after=int(made.not_valid_after_utc.timestamp()),
    )
    write_whole(_certificate_file(authority.folder, entry), made.public_bytes(Encoding.PEM), mode=0o644)
    return (made, True), msgspec.structs.replace(register, entries=(*register.entries, entry))


def _refuse_revoked(register: Register, request: SigningRequest, key: str) -> None:
    if any(each.key == key and each.revoked_at for each in register.entries):
        raise GateRefusedError(
            f"the key of {request.file} was revoked",
            hint=f"on {request.name}: move its key away, tiers-edge enroll makes a new one; then --replace",
        )


def _revoked(
    register: Register, names: Iterable[str], reason: str, now: datetime, *, but: str = ""
) -> Register:
    """Give the register with what still counts as holding marked, except what has the key `but`."""
    wanted, seconds = frozenset(names), int(now.timestamp())
    entries = tuple(
        msgspec.structs.replace(each, revoked_at=seconds, reason=reason)
        if each.name in wanted and not each.revoked_at and each.key != but
        else each
        for each in register.entries
    )
    return msgspec.structs.replace(register, entries=entries)


def _keep(authority: Authority, register: Register, now: datetime) -> None:
    """Write the register, then the list that is made from it; the next call makes good what a kill left behind."""
    register = msgspec.structs.replace(register, list_number=register.list_number + 1)
    write_register(authority.folder, register)
    write_whole(authority.folder / REVOKED_FILE, authority.revoke(register, now), mode=0o644)


def _certificate_file(folder: Path, entry: Enrolled) -> Path:
    return folder / CERTIFICATES / f"{entry.serial}.crt"


def _kept_certificate(folder: Path, entry: Enrolled) -> x509.Certificate:
    file = _certificate_file(folder, entry)
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"certificate {file} of {entry.name} cannot be read: {error}", hint="bring it back, or revoke it"
        ) from error


def _answer(
    topology: Topology,
    name: str,
    certificate: x509.Certificate,
    answers: Path,
    policy: Policy,
    *,
    signed: bool,
) -> Welcome:
    pem = certificate.public_bytes(Encoding.PEM)
    # Colons of roles are no part of file names everywhere.
    stem = name.replace(":", "-")
    certificate_file, answer_file = answers / f"{stem}.crt", None
    write_whole(certificate_file, pem, mode=0o644)
    if name in devices_of(topology):
        answer = EnrolmentAnswer(
            site=topology.name,
            device=name,
            host=urlsplit(topology.broker.url).hostname or "",
            port=broker_port(topology),
            certificate=pem.decode(),
            broker_authority=policy.broker_authority,
            keyring=policy.keyring,
        )
        answer_file = answers / f"{stem}.answer.json"
        write_whole(answer_file, encode_json(answer) + b"\n", mode=0o644)
    serial, ends = f"{certificate.serial_number:x}", int(certificate.not_valid_after_utc.timestamp())
    return Welcome(name, serial, ends, certificate_file, answer_file, signed)
