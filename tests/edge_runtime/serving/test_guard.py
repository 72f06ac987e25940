"""Who may listen where, and who is answered: a real server with TLS, on asyncio's loop and on uvloop."""

from __future__ import annotations

import http.client
import json
import ssl

import numpy as np
import pytest

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.guard import check_exposure, is_loopback
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.server import Server
from tests.cluster.certificates import Authority
from tests.contracts.engine import scale_model
from tests.edge_runtime.serving.conftest import request_of
from tests.edge_runtime.serving.mounted import Mounted
from toolkit.errors import UsageError
from toolkit.wire.device_config import ModelConfig, ServingConfig

TOKEN, NEXT = "a" * 32, "b" * 40
INFER, BODY = "/v2/models/m/infer", json.dumps(request_of(x=np.ones((1, 4), np.float32))).encode()
EVERYWHERE = "0.0.0.0"  # noqa: S104 -- what is tested
KEYS = ("certificate_file", "key_file", "token_file", "client_ca_file")


def pair(authority, name):
    return tuple(path.read_bytes() for path in authority.server(name))


class Site:
    """A server on every address with a certificate of its own authority, and the clients that trust it."""

    def __init__(self, serve, folder, *, tokens=True, mutual=False, limits=None, batch=8):
        self.authority = Authority(folder)
        self.foreign = Authority(_made(folder / "foreign"))
        certificate, key = pair(self.authority, "server")
        held = {"tls_crt": certificate, "tls_key": key}
        held |= {"token": f"{TOKEN}\n{NEXT}\n".encode()} if tokens else {}
        held |= {"ca_crt": self.authority.ca.read_bytes()} if mutual else {}
        self.held, self.mount = held, Mounted(folder / "secret", **held)
        names = zip(KEYS, ("tls.crt", "tls.key", "token", "ca.crt"), strict=True)
        files = {key: self.mount.file(name) for key, name in names if name.replace(".", "_") in held}
        config = ServingConfig(host=EVERYWHERE, port=0, **files)
        self.serving = serve(ModelConfig(name="m", max_batch=batch), config=config, limits=limits)
        self.serving.swap("m", "1", open_engine(scale_model(folder / "m.onnx", 2)))

    def turn(self, **files):
        self.held |= files
        self.mount.turn(**self.held)

    def client(self, *, certificate=(), trust=None):
        context = ssl.create_default_context(cafile=str(trust or self.authority.ca))
        if certificate:
            context.load_cert_chain(*certificate)
        return http.client.HTTPSConnection("127.0.0.1", self.serving.port, timeout=60, context=context)

    def ask(self, path, token=None, body=None, **client):
        connection = self.client(**client)
        try:
            return answer(connection, path, token, body)
        finally:
            connection.close()


def answer(connection, path, token=None, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    connection.request("POST" if body else "GET", path, body, headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def _made(folder):
    folder.mkdir()
    return folder


# ------------------------------------------------------------------ where
@pytest.mark.parametrize("host", [EVERYWHERE, "192.0.2.7", "::", "edge.example"])
def test_beyond_loopback_it_wants_tls_and_a_way_to_know_clients(host):
    with pytest.raises(UsageError, match="needs TLS") as caught:
        Server(ServingConfig(host=host, token_file="t"), ModelTable())  # noqa: S106 -- a path
    assert "openssl req -x509" in caught.value.hint
    assert "127.0.0.1" in caught.value.hint
    with pytest.raises(UsageError, match=r"serving\.token_file or serving\.client_ca_file") as caught:
        Server(ServingConfig(host=host, certificate_file="c", key_file="k"), ModelTable())
    assert "openssl rand" in caught.value.hint


@pytest.mark.parametrize("key", ["token_file", "client_ca_file"])
def test_with_both_it_may(key):
    check_exposure(ServingConfig(host="::", certificate_file="c", key_file="k", **{key: "x"}))


@pytest.mark.parametrize(
    ("given", "missing"),
    [("certificate_file", "key_file"), ("key_file", "certificate_file"), ("client_ca_file", "TLS")],
)
def test_half_of_a_pair_is_refused_on_loopback_too(given, missing):
    with pytest.raises(UsageError, match=missing):
        check_exposure(ServingConfig(**{given: "x"}))


def test_loopback_has_many_names():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("", "localhost.example", "::ffff:192.0.2.1", "128.0.0.1")))


# ------------------------------------------------------------------ who
def test_only_health_is_answered_to_strangers(serve, tmp_path):
    site = Site(serve, tmp_path)
    assert site.ask("/v2/health/live")[::2] == (200, b'{"live":true}')
    assert site.ask("/v2/health/ready")[0] == 200
    for path in ("/metrics", "/v2", "/v2/models/m", "/v2/health/live/", "/v2/health/%6cive", "/nothing"):
        status, headers, _ = site.ask(path)
        assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="tiers-edge"'), path
    assert site.ask(INFER, body=BODY)[0] == 401


def test_every_token_of_the_file_opens_and_no_other(serve, tmp_path):
    site = Site(serve, tmp_path)
    for token in (TOKEN, NEXT):
        status, _, text = site.ask(INFER, token, BODY)
        assert (status, json.loads(text)["model_version"]) == (200, "1")
        assert site.ask("/metrics", token)[0] == 200
    for wrong in ("a" * 31, TOKEN + "a", TOKEN.upper(), f"{TOKEN}\x80", f"{TOKEN},{NEXT}"):
        status, headers, text = site.ask(INFER, wrong, BODY)
        assert (status, headers["WWW-Authenticate"]) == (
            401,
            'Bearer realm="tiers-edge", error="invalid_token"',
        )
        assert wrong.encode("latin-1") not in text


@pytest.mark.parametrize("value", [f"Basic {TOKEN}", TOKEN, "Bearer", f"bearer{TOKEN}"])
def test_another_scheme_is_no_token(serve, tmp_path, value):
    site = Site(serve, tmp_path)
    connection = site.client()
    connection.request("GET", "/metrics", headers={"Authorization": value})
    assert connection.getresponse().status == 401
    connection.close()


def test_two_tokens_in_one_request_are_a_mistake(serve, tmp_path):
    site = Site(serve, tmp_path)
    connection = site.client()
    connection.putrequest("GET", "/metrics")
    for token in ("wrong" * 8, TOKEN):
        connection.putheader("Authorization", f"Bearer {token}")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_a_stranger_is_refused_before_his_body_is_kept(serve, tmp_path):
    site = Site(serve, tmp_path, limits=Limits(body_bytes=1 << 30, linger_seconds=0.1))
    connection = site.client()
    connection.putrequest("POST", INFER)
    connection.putheader("Content-Length", str(1 << 29))
    connection.endheaders()
    assert connection.getresponse().status == 401
    assert site.serving.server._floor.buffered_bytes == 0
    connection.close()


def test_plain_http_gets_nothing(serve, tmp_path):
    site = Site(serve, tmp_path)
    with site.serving.connect() as stream:
        stream.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not stream.recv(100).startswith(b"HTTP")


def test_old_tls_is_refused(serve, tmp_path):
    site = Site(serve, tmp_path)
    context = ssl.create_default_context(cafile=str(site.authority.ca))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    connection = http.client.HTTPSConnection("127.0.0.1", site.serving.port, timeout=60, context=context)
    with pytest.raises(ssl.SSLError):
        connection.request("GET", "/v2/health/live")


def test_a_certificate_of_the_authority_opens_like_a_token(serve, tmp_path):
    site = Site(serve, tmp_path, tokens=False, mutual=True)
    assert site.ask("/v2/health/ready")[0] == 200
    status, _, text = site.ask(INFER, body=BODY)
    assert (status, json.loads(text)["error"]) == (401, "who asks? show a certificate")
    known = site.authority.server("client")
    assert site.ask(INFER, body=BODY, certificate=known)[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.ask(INFER, body=BODY, certificate=site.foreign.server("stranger"))


def test_with_both_either_is_enough(serve, tmp_path):
    site = Site(serve, tmp_path, mutual=True)
    assert site.ask(INFER, TOKEN, BODY)[0] == 200
    assert site.ask(INFER, body=BODY, certificate=site.authority.server("client"))[0] == 200
    assert site.ask(INFER, body=BODY)[0] == 401


# ------------------------------------------------------------------ renewal
def test_certificate_and_tokens_are_renewed_while_connections_live(serve, tmp_path, wait_until):
    site = Site(serve, tmp_path)
    living = site.client()
    assert answer(living, INFER, TOKEN, BODY)[0] == 200
    socket = living.sock
    certificate, key = pair(site.foreign, "server")
    site.turn(tls_crt=certificate, tls_key=key, token=NEXT.encode())
    wait_until(lambda: answer(living, "/v2", NEXT)[0] == 200 and _trusts(site, site.foreign), "both are new")
    assert living.sock is socket, "the connection lived on"
    with pytest.raises(ssl.SSLCertVerificationError):
        site.ask("/v2", NEXT)
    assert answer(living, INFER, TOKEN, BODY)[0] == 401, "a token that was taken out opens no more"
    living.close()
    assert site.ask(INFER, NEXT, BODY, trust=site.foreign.ca)[0] == 200


def test_an_authority_that_was_taken_out_opens_no_more(serve, tmp_path, wait_until):
    site = Site(serve, tmp_path, tokens=False, mutual=True)
    before, after = site.authority.server("client"), site.foreign.server("client")
    assert site.ask("/v2", certificate=before)[0] == 200
    site.turn(ca_crt=site.foreign.ca.read_bytes())
    wait_until(lambda: _opens(site, after), "the new authority is known")
    assert not _opens(site, before)


@pytest.mark.parametrize("wrong", [{"tls_crt": b"no"}, {"token": b""}, {"tls_key": b""}])
def test_what_is_wrong_changes_nothing_and_is_said_once(serve, tmp_path, wait_until, caplog, wrong):
    site = Site(serve, tmp_path)
    right = {name: site.held[name] for name in wrong}
    site.turn(**wrong)
    wait_until(lambda: "the old certificate and tokens stay" in caplog.text, "it was said")
    assert site.ask(INFER, TOKEN, BODY)[0] == 200
    site.turn(**(right | {"token": NEXT.encode()}))
    wait_until(lambda: site.ask("/v2", TOKEN)[0] == 401, "right files are taken")
    assert caplog.text.count("the old certificate and tokens stay") == 1
    assert TOKEN not in caplog.text


def test_a_long_body_comes_whole_over_tls_and_so_does_the_answer(serve, tmp_path):
    site = Site(serve, tmp_path, batch=200_000)
    x = np.arange(800_000, dtype=np.float32).reshape(-1, 4)
    tensor = {
        "name": "x",
        "shape": list(x.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": x.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    connection = site.client()
    for _ in range(2):
        named = {"Authorization": f"Bearer {TOKEN}", "Inference-Header-Content-Length": str(len(head))}
        connection.request("POST", INFER, head + x.tobytes(), named)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body[:300]
        start = int(response.headers["Inference-Header-Content-Length"])
        np.testing.assert_array_equal(np.frombuffer(body[start:], np.float32).reshape(x.shape), x * 2)
    connection.close()


def test_stopping_answers_over_tls_too(serve, tmp_path):
    site = Site(serve, tmp_path)
    idle = site.client()
    assert answer(idle, "/v2/health/live")[0] == 200
    site.serving.call(site.serving.server.stop(grace_seconds=600), seconds=60)
    assert not site.serving.server._floor.connections
    idle.close()


def _trusts(site, authority):
    try:
        return site.ask("/v2/health/live", trust=authority.ca)[0] == 200
    except ssl.SSLError:
        return False


def _opens(site, certificate):
    try:
        return site.ask("/v2", certificate=certificate)[0] == 200
    except (ssl.SSLError, ConnectionError):
        return False
