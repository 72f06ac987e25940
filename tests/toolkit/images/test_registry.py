"""Digests from a real registry: open, with a login, with a token service, over TLS; and from servers that lie."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from toolkit.errors import IntegrityError, RegistryError, UnreachableError
from toolkit.images.credentials import Login
from toolkit.images.reference import parse_reference
from toolkit.images.registry import LARGEST_MANIFEST, Registries

USER, PASSWORD, IDENTITY = "ci", "a pass:word", "an identity"
BCRYPT = "$2y$04$L5TwKngnHLyUX.4vGCdWA.83nu/YrfCk7FrJYCPwEF3Ccs9hCcDMi"
"""Of PASSWORD."""


def resolve(image: str, login: Login | None = None, ca_file: str = ""):
    return Registries(lambda _: login, ca_file).resolve(parse_reference(image))


# ---------------------------------------------------------------- a real registry
def test_a_tag_is_the_digest_of_its_manifest_and_an_index_is_one_of_all_machines(start_registry):
    registry = start_registry()
    single = registry.push("tiers-jobs:1.0", "jobs")
    both = registry.push("some/where/tiers-edge:1.0", "edge", ("linux/arm64", "linux/amd64"))
    assert resolve(f"{registry.host}/tiers-jobs:1.0").digest == single
    found = resolve(f"{registry.host}/some/where/tiers-edge:1.0")
    assert (found.digest, found.platforms) == (both, ("linux/amd64", "linux/arm64"))


def test_a_tag_that_is_not_there_is_named(start_registry):
    registry = start_registry()
    registry.push("tiers-edge:1.0", "edge")
    with pytest.raises(RegistryError, match=r"has no 127.0.0.1:\d+/tiers-edge:2.0"):
        resolve(f"{registry.host}/tiers-edge:2.0")


def test_a_registry_that_is_not_there_is_unreachable(free_port):
    with pytest.raises(UnreachableError, match="does not answer") as refused:
        resolve(f"127.0.0.1:{free_port()}/tiers-edge:1.0")
    assert "object at" not in refused.value.message


def test_a_registry_with_passwords_gets_the_login_and_no_other(start_registry, tmp_path):
    (tmp_path / "htpasswd").write_text(f"{USER}:{BCRYPT}\n")
    headers = urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}")
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    registry = start_registry({"auth": auth}, headers)
    digest = registry.push("tiers-edge:1.0", "edge")
    image = f"{registry.host}/tiers-edge:1.0"
    assert resolve(image, Login(USER, PASSWORD)).digest == digest
    with pytest.raises(RegistryError, match="wants a login \\(basic\\)") as refused:
        resolve(image)
    assert refused.value.hint == f"docker login {registry.host}"
    with pytest.raises(RegistryError, match="does not show us"):
        resolve(image, Login(USER, "another"))


class TokenService:
    """Gives tokens that a registry with this authority takes; https://distribution.github.io/distribution/spec/auth/jwt/."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = certificate(self.key, "127.0.0.1")
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.realm = f"http://127.0.0.1:{self.server.server_address[1]}/token?mode=test"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, scope: str) -> str:
        kind, name, actions = scope.split(":")
        now = int(time.time())
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        claims = {
            "iss": "test", "aud": "registry", "sub": "", "exp": now + 60, "nbf": now - 60, "iat": now, "jti": "1",
            "access": access,
        }  # fmt: skip
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = ".".join(_url64(json.dumps(each).encode()) for each in (header, claims))
        first, second = utils.decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_url64(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(parse_qs(urlsplit(self.path).query))

            def do_POST(self) -> None:
                self._answer(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))

            def _answer(self, fields: dict[str, list[str]]) -> None:
                said = self.headers.get("Authorization", "")
                service.asked.append((said, fields))
                good = said == urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}")["authorization"]
                good = good or fields.get("refresh_token") == [IDENTITY]
                body = json.dumps({"token": service.token(fields["scope"][0])} if good else {}).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def certificate(key: ec.EllipticCurvePrivateKey, address: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip


@pytest.mark.parametrize("login", [Login(USER, PASSWORD), Login(identity_token=IDENTITY)])
def test_a_token_is_fetched_for_this_repository_only_and_kept(start_registry, tmp_path, login):
    service = TokenService()
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(service.certificate.public_bytes(serialization.Encoding.PEM))
    auth = {
        "token": {
            "realm": service.realm,
            "service": "registry",
            "issuer": "test",
            "rootcertbundle": str(bundle),
        }
    }
    headers = {"Authorization": f"Bearer {service.token('repository:team/edge:pull,push')}"}
    registry = start_registry({"auth": auth}, headers)
    digest = registry.push("team/edge:1.0", "edge")
    asking = Registries(lambda _: login)
    for _ in range(2):
        assert asking.resolve(parse_reference(f"{registry.host}/team/edge:1.0")).digest == digest
    ((_, fields),) = service.asked
    assert (fields["scope"], fields["service"]) == (["repository:team/edge:pull"], ["registry"])
    with pytest.raises(RegistryError, match="gives no token for team/edge: 401"):
        resolve(f"{registry.host}/team/edge:1.0", Login(USER, "another"))
    service.server.shutdown()
    service.server.server_close()


def test_a_registry_elsewhere_needs_tls_that_we_trust(start_registry, tmp_path, free_port):
    # Only 127.0.0.1 and localhost count as this machine, so 127.0.0.2 is a host like any other.
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificate(key, "127.0.0.2")
    authority, key_file = tmp_path / "ca.pem", tmp_path / "key.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    port = free_port()
    http = {"tls": {"certificate": str(authority), "key": str(key_file)}}
    registry = start_registry({"http": http}, host=f"127.0.0.2:{port}", ca_file=str(authority))
    digest = registry.push("tiers-edge:1.0", "edge")
    image = f"127.0.0.2:{port}/tiers-edge:1.0"
    assert resolve(image, ca_file=str(authority)).digest == digest
    with pytest.raises(UnreachableError, match="certificate"):
        resolve(image)
    with pytest.raises(RegistryError, match="holds no authority"):
        resolve(image, ca_file=str(key_file))


# ---------------------------------------------------------------- servers that no registry should be
@pytest.fixture
def server() -> Callable[..., str]:
    """Give `server(status, headers, body)`: its address; it answers everything alike and counts in `server.asked`."""
    running: list[ThreadingHTTPServer] = []

    def start(status: int, headers: dict[str, str], body: bytes, asked: list[str] | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if asked is not None:
                    asked.append(self.path)
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(found)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        return f"127.0.0.1:{found.server_address[1]}"

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        (
            {"Docker-Content-Digest": "sha256:" + "0" * 64},
            json.dumps(MANIFEST).encode(),
            "its registry says sha256:0000",
        ),
        ({}, b" " * (LARGEST_MANIFEST + 1), "sends more than 4194304 bytes"),
        ({}, b"<html>log in</html>", "no manifest that can be read"),
        ({"Content-Type": "application/json"}, b"{}", "no image"),
    ],
)
def test_what_is_no_manifest_is_refused(server, headers, body, said):
    with pytest.raises(IntegrityError, match=said):
        resolve(f"{server(200, headers, body)}/tiers-edge:1.0")


def test_a_redirect_is_not_followed(server):
    asked: list[str] = []
    elsewhere = server(200, {}, json.dumps(MANIFEST).encode(), asked)
    with pytest.raises(UnreachableError, match="answers 307"):
        resolve(f"{server(307, {'Location': f'http://{elsewhere}/v2/'}, b'')}/tiers-edge:1.0")
    assert asked == []


def test_a_password_goes_to_no_token_service_without_tls(server):
    header = {"WWW-Authenticate": 'Bearer realm="http://tokens.example/token",service="registry"'}
    with pytest.raises(RegistryError, match="has no TLS"):
        resolve(f"{server(401, header, b'')}/tiers-edge:1.0", Login(USER, PASSWORD))


def test_a_name_without_host_is_docker_hubs():
    hub = parse_reference("nginx:1.29")
    assert (hub.address, hub.repository, hub.tag) == ("https://registry-1.docker.io", "library/nginx", "1.29")
    assert "https://index.docker.io/v1/" in hub.credentials_keys
    own = parse_reference("registry.example:5000/team/edge:1.0@sha256:" + "a" * 64)
    assert (own.address, own.repository, own.tag) == ("https://registry.example:5000", "team/edge", "1.0")
    assert own.digest == "sha256:" + "a" * 64
