"""Enrolment on the operator's side: who is let in, who is not, and what stands in the register afterwards."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.toolkit.render.clinic import clinic
from toolkit.errors import GateRefusedError, IntegrityError, SignatureError, UsageError
from toolkit.fleet.authority import make_authority
from toolkit.fleet.enroll import Policy, Welcome, enroll, revoke
from toolkit.fleet.register import Register, read_register
from toolkit.fleet.standing import standings
from toolkit.link.identity import request_identity
from toolkit.wire.document import decode_json, encode_json
from toolkit.wire.enrolment import decode_answer
from toolkit.wire.keyring import Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
SITE = clinic()
ONE, OTHER = "cart-1", "cart-2"


class Office:
    """An authority in a folder, and the requests that reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, folder / "authority"
        assert make_authority(self.authority, SITE.name, NOW)

    def request(self, name: str, key: str = "") -> Path:
        stem = self.folder / (key or name).replace(":", "-")
        return request_identity(name, Path(f"{stem}.key"), Path(f"{stem}.csr")).request_file

    def enroll(
        self, *files: Path, name: str = "", replace: bool = False, now: datetime = NOW
    ) -> tuple[Welcome, ...]:
        policy = Policy(Keyring(), "", replace=replace)
        return enroll(SITE, self.authority, files, self.folder / "answers", policy, now, name=name)

    def revoked(self) -> set[int]:
        found = x509.load_pem_x509_crl((self.authority / "ca.crl").read_bytes())
        ca = x509.load_pem_x509_certificate((self.authority / "ca.crt").read_bytes())
        assert found.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
        return {each.serial_number for each in found}

    def held(self) -> list[tuple[str, bool]]:
        return [(each.name, bool(each.revoked_at)) for each in read_register(self.authority).entries]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def request_of(name: str | None, key: object, *more: str) -> bytes:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ((name,) if name else ()) + more]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_a_device_gets_a_client_certificate_in_its_name_and_no_more(office: Office) -> None:
    (welcome,) = office.enroll(office.request(ONE), name=ONE)
    certificate = x509.load_pem_x509_certificate(welcome.certificate_file.read_bytes())
    ca = x509.load_pem_x509_certificate((office.authority / "ca.crt").read_bytes())
    certificate.verify_directly_issued_by(ca)
    assert certificate.subject.rfc4514_string() == f"CN={ONE}"
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == NOW + timedelta(days=730)
    (entry,) = read_register(office.authority).entries
    assert (entry.name, int(entry.serial, 16)) == (ONE, certificate.serial_number)
    assert welcome.answer_file is not None
    answer = decode_answer(welcome.answer_file.read_bytes(), what="answer")
    assert (answer.device, answer.site) == (ONE, SITE.name)
    assert b"PRIVATE" not in welcome.answer_file.read_bytes()


def test_what_is_asked_for_beside_the_name_is_not_given(office: Office) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, ONE),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "all"),
    ]
    wanted = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    wanted = wanted.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file = office.folder / "bold.csr"
    file.write_bytes(wanted.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (welcome,) = office.enroll(file)
    certificate = x509.load_pem_x509_certificate(welcome.certificate_file.read_bytes())
    assert certificate.subject.rfc4514_string() == f"CN={ONE}"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_broker_gets_a_servers_certificate_for_its_own_address(office: Office) -> None:
    (welcome,) = office.enroll(office.request("tiers:broker"))
    certificate = x509.load_pem_x509_certificate(welcome.certificate_file.read_bytes())
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "broker.clinic.example" in hosts.get_values_for_type(x509.DNSName)
    assert welcome.answer_file is None


def test_repeating_gives_the_same_and_renewing_comes_when_half_is_over(office: Office) -> None:
    file = office.request(ONE)
    first, again = office.enroll(file)[0], office.enroll(file)[0]
    assert (first.serial, first.signed, again.signed) == (again.serial, True, False)
    renewed = office.enroll(office.request(ONE), now=NOW + timedelta(days=400))[0]
    assert renewed.signed
    assert renewed.serial != first.serial
    assert office.held() == [(ONE, False), (ONE, False)]
    assert office.revoked() == set()


def test_all_or_none(office: Office) -> None:
    with pytest.raises(UsageError, match="did you mean 'cart-2'"):
        office.enroll(office.request(ONE), office.request("cart-22"))
    assert office.held() == []
    with pytest.raises(UsageError, match="two of the requests"):
        office.enroll(office.request(ONE), office.request(ONE, "second"))
    assert office.held() == []
    assert not (office.folder / "answers").exists()


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (request_of(ONE, rsa.generate_private_key(65537, 1024)), IntegrityError, "1024 bits"),  # noqa: S505  # weak on purpose
        (request_of(ONE, ed25519.Ed25519PrivateKey.generate()), IntegrityError, "neither ECDSA"),
        (request_of(ONE, ec.generate_private_key(ec.SECP256K1())), IntegrityError, "neither ECDSA"),
        (request_of(None, ec.generate_private_key(ec.SECP256R1())), IntegrityError, "0 common names"),
        (request_of(ONE, ec.generate_private_key(ec.SECP256R1()), OTHER), IntegrityError, "2 common names"),
        (b"no request", IntegrityError, "not a signing request"),
        (b"-----BEGIN PRIVATE KEY-----\nx", IntegrityError, "holds a private key"),
        (request_of("tiers:operato", ec.generate_private_key(ec.SECP256R1())), UsageError, "tiers:operator"),
        (request_of(f"{ONE}/#", ec.generate_private_key(ec.SECP256R1())), UsageError, "no device"),
    ],
)  # fmt: skip
def test_bad_requests(office: Office, content: bytes, kind: type[Exception], says: str) -> None:
    file = office.folder / "x.csr"
    file.write_bytes(content)
    with pytest.raises(kind, match=says):
        office.enroll(file)
    assert office.held() == []


def test_a_request_that_another_key_signed(office: Office) -> None:
    file = office.request(ONE)
    der = bytearray(x509.load_pem_x509_csr(file.read_bytes()).public_bytes(Encoding.DER))
    der[der.index(ONE.encode())] ^= 1  # the name is changed, the signature is not
    changed = x509.load_der_x509_csr(bytes(der))
    file.write_bytes(changed.public_bytes(Encoding.PEM))
    with pytest.raises(SignatureError, match="not signed by the key"):
        office.enroll(file)


def test_a_request_of_another_device(office: Office) -> None:
    with pytest.raises(UsageError, match="asks for 'cart-2', not for 'cart-1'"):
        office.enroll(office.request(OTHER), name=ONE)


def test_another_key_needs_to_be_said_and_ends_the_old_one(office: Office) -> None:
    old = office.enroll(office.request(ONE))[0]
    with pytest.raises(GateRefusedError, match="enrolled with another key") as caught:
        office.enroll(office.request(ONE, "new"))
    assert "--replace" in caught.value.hint
    new = office.enroll(office.request(ONE, "new"), replace=True)[0]
    assert office.revoked() == {int(old.serial, 16)}
    assert office.held() == [(ONE, True), (ONE, False)]
    with pytest.raises(GateRefusedError, match="was revoked"):
        office.enroll(office.request(ONE), replace=True)
    assert office.enroll(office.request(ONE, "new"))[0].serial == new.serial


def test_who_is_revoked_comes_back_with_another_key_only(office: Office) -> None:
    first = office.enroll(office.request(ONE), office.request(OTHER))[0]
    for _ in range(2):
        (entry,) = revoke(SITE, office.authority, [ONE], "lost", NOW)
        assert (entry.serial, entry.reason) == (first.serial, "lost")
    assert office.revoked() == {int(first.serial, 16)}
    for replace in (False, True):
        with pytest.raises(GateRefusedError, match=r"key of .* was revoked"):
            office.enroll(office.request(ONE), replace=replace)
    with pytest.raises(GateRefusedError, match="cart-1 was revoked"):
        office.enroll(office.request(ONE, "new"))
    assert office.enroll(office.request(ONE, "new"), replace=True)[0].signed
    with pytest.raises(UsageError, match="'cart-9' was never enrolled"):
        revoke(SITE, office.authority, [OTHER, "cart-9"], "", NOW)
    assert office.revoked() == {int(first.serial, 16)}


def test_a_list_that_a_kill_left_behind_is_made_good(office: Office) -> None:
    office.enroll(office.request(ONE))
    before = (office.authority / "ca.crl").read_bytes()
    revoke(SITE, office.authority, [ONE], "", NOW)
    (office.authority / "ca.crl").write_bytes(before)
    revoke(SITE, office.authority, [ONE], "", NOW)
    assert len(office.revoked()) == 1


def test_where_everybody_stands(office: Office) -> None:
    office.enroll(office.request(ONE), office.request("tiers:depot"))
    found = {each.name: each.state for each in standings(SITE, office.authority, NOW)}
    assert (found[ONE], found[OTHER], found["tiers:depot"]) == ("enrolled", "not enrolled", "enrolled")
    late = {each.name: each for each in standings(SITE, office.authority, NOW + timedelta(days=700))}
    assert "ends soon" in late[ONE].remark
    later = {each.name: each.state for each in standings(SITE, office.authority, NOW + timedelta(days=800))}
    assert later[ONE] == "expired"
    revoke(SITE, office.authority, [ONE], "lost", NOW)
    (lost,) = (each for each in standings(SITE, office.authority, NOW) if each.name == ONE)
    assert (lost.state, lost.remark) == ("revoked", "lost")


def test_the_key_is_for_nobody_else_and_never_overwritten(office: Office) -> None:
    file = office.authority / "authority.key"
    before = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not make_authority(office.authority, SITE.name, NOW)
    assert file.read_bytes() == before
    file.chmod(0o640)
    with pytest.raises(IntegrityError, match="read by others"):
        office.enroll(office.request(ONE))
    file.unlink()
    with pytest.raises(IntegrityError, match="not its key"):
        make_authority(office.authority, SITE.name, NOW)


def test_an_authority_of_another_site_and_none_at_all(office: Office, tmp_path: Path) -> None:
    make_authority(tmp_path / "north", "north", NOW)
    with pytest.raises(UsageError, match="authority of site north"):
        enroll(SITE, tmp_path / "north", [office.request(ONE)], tmp_path, Policy(Keyring(), ""), NOW)
    with pytest.raises(UsageError, match="no authority") as caught:
        enroll(SITE, tmp_path / "none", [office.request(ONE)], tmp_path, Policy(Keyring(), ""), NOW)
    assert "tiers device authority" in caught.value.hint


def test_two_at_once_lose_nobody(office: Office) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.toolkit.fleet.test_enroll import *\n"
        "policy = Policy(Keyring(), '')\n"
        "for name in sys.argv[2:]:\n"
        "    folder = Path(sys.argv[1])\n"
        "    enroll(SITE, folder / 'authority', [folder / f'{name}.csr'], folder / 'answers', policy, NOW)\n"
    )
    names = sorted(each.name for each in standings(SITE, office.authority, NOW))
    for name in names:
        office.request(name)
    halves = [
        subprocess.Popen([sys.executable, "-c", program, str(office.folder), *part], stderr=subprocess.PIPE)
        for part in (names[::2], names[1::2])
    ]
    for each in halves:
        _, said = each.communicate(timeout=240)
        assert each.returncode == 0, said.decode()
    assert sorted(name for name, _ in office.held()) == names


def test_a_damaged_register_is_named(office: Office) -> None:
    file = office.authority / "register.json"
    file.write_text(json.dumps({"format": 2, "site": SITE.name}))
    with pytest.raises(IntegrityError, match=r"register\.json has format 2"):
        office.enroll(office.request(ONE))


def test_the_register_of_number_1_is_read_and_written_byte_for_byte() -> None:
    data = (Path(__file__).parent / "vectors" / "register-1.json").read_bytes().rstrip(b"\n")
    register = decode_json(data, Register, what="vector")
    assert [bool(each.revoked_at) for each in register.of("cart-1")] == [True, False]
    assert encode_json(register) == data
