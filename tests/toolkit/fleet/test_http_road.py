"""The HTTP road over real sockets: ranges, limits, certificates, and a registry that is damaged or away."""

from __future__ import annotations

import datetime as dt
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.cluster.certificates import Authority
from tests.toolkit.registry.making import Site, make_site
from toolkit.errors import UsageError
from toolkit.fleet.http_limits import HttpLimits
from toolkit.fleet.http_road import HttpRoad
from toolkit.fleet.listen import Listen, parse_listen
from toolkit.protocol.buckets import Rate
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.index import decode_index, distinct_chunks

LOCAL = Listen("--http", "127.0.0.1", 0)


@contextmanager
def road(site: Site, listen: Listen = LOCAL, limits: HttpLimits | None = None) -> Iterator[HttpRoad]:
    def open_store() -> PackStore:
        return PackStore(DirectoryRemote(str(site.folder / "registry")))

    made = HttpRoad(listen, open_store, site.keyring, limits)
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def artifact(site: Site) -> str:
    return site.push(version="1", width=60_000).artifact


def whole(site: Site, artifact: str) -> bytes:
    """Give the chunks file, put together by hand."""
    store = site.store
    store.refresh()
    return b"".join(store.read_chunk(ref.digest) for ref in refs(site, artifact))


def refs(site: Site, artifact: str):
    index = index_of(site, artifact)
    return distinct_chunks(decode_index(index, manifest(site, artifact).index))


def manifest(site: Site, artifact: str):
    from toolkit.registry.catalogue import open_artifact

    return open_artifact(site.store, artifact, site.keyring).manifest


def index_of(site: Site, artifact: str) -> bytes:
    return site.store.get_index_bytes(manifest(site, artifact).index)


def ask(
    made: HttpRoad, path: str, method: str = "GET", context: ssl.SSLContext | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if context is not None:
        made_connection = http.client.HTTPSConnection("127.0.0.1", made.port, timeout=30, context=context)
    else:
        made_connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=60)
    try:
        made_connection.request(method, path, headers=names)
        answer = made_connection.getresponse()
        return answer, answer.read()
    finally:
        made_connection.close()


def test_ranges_are_those_of_the_chunks_file(
    site: Site, artifact: str, wait_until: Callable[..., None]
) -> None:
    expected = whole(site, artifact)
    size = len(expected)
    path = f"/v1/artifacts/{artifact}/chunks"
    cases = {
        "bytes=0-0": (0, 1),
        "bytes=1-70000": (1, 70_001),
        f"bytes={size - 10}-": (size - 10, size),
        "bytes=-5": (size - 5, size),
        f"bytes=5-{size + 100}": (5, size),
    }
    with road(site) as made:
        for text, (start, stop) in cases.items():
            answer, body = ask(made, path, Range=text)
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
            assert body == expected[start:stop], text
        answer, body = ask(made, path)
        assert (answer.status, body) == (200, expected)
        answer, body = ask(made, path, "HEAD")
        assert (answer.status, int(answer.headers["Content-Length"]), body) == (200, size, b"")
        assert answer.headers["ETag"] == f'"{artifact}"'
        answer, body = ask(made, f"/v1/artifacts/{artifact}/index")
        assert body == index_of(site, artifact)
        expected_bytes = sum(stop - start for start, stop in cases.values()) + size + len(body)
        wait_until(
            lambda: made.counters.bytes_sent == expected_bytes, "all that was sent is counted, and no more"
        )


@pytest.mark.parametrize(
    "text",
    ["bytes=0-1,5-6", "bytes=5-2", "bytes=-", "bytes=-0", "bytes=99999999999-", "lines=1-2", "bytes=a-b"],
)
def test_what_is_no_single_range_is_refused(site: Site, artifact: str, text: str) -> None:
    with road(site) as made:
        answer, body = ask(made, f"/v1/artifacts/{artifact}/chunks", Range=text)
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(whole(site, artifact))}"
        assert b"one range" in body


def test_only_signed_artifacts_are_shown(site: Site, artifact: str, tmp_path: Path) -> None:
    stranger = make_site(tmp_path / "stranger")
    own, site.key = site.key, stranger.key
    forged = site.push(version="9").artifact
    site.key = own
    with road(site) as made:
        for path in (
            f"/v1/artifacts/{forged}/chunks",
            f"/v1/artifacts/{'f' * 64}/index",
            f"/v1/artifacts/../{artifact}/index",
            f"/v1/artifacts/{artifact.upper()}/index",
            f"/v1/artifacts/{artifact}/chunks/",
            f"/v1/artifacts/{artifact}/chunks?x=1",
            "/" + "a" * 5000,
            "/",
        ):
            answer, _ = ask(made, path)
            assert answer.status == 404, path
        answer, body = ask(made, f"/v1/artifacts/{forged}/chunks")
        assert b"not trusted as registry" in body
        answer, _ = ask(made, f"/v1/artifacts/{artifact}/index", "POST")
        assert answer.status == 501
        assert made.counters.answers[404] == 9


def test_several_questions_use_one_connection(site: Site, artifact: str) -> None:
    with road(site) as made:
        connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=60)
        for _ in range(3):
            connection.request("GET", f"/v1/artifacts/{artifact}/index")
            answer = connection.getresponse()
            assert answer.read() == index_of(site, artifact)
        connection.request("GET", "/", body=b"x" * 10)
        answer = connection.getresponse()
        assert (answer.status, answer.headers.get("Connection")) == (400, None)
        connection.close()


def test_an_answer_ends_where_it_says(site: Site, artifact: str) -> None:
    with road(site) as made, socket.create_connection(("127.0.0.1", made.port), timeout=60) as raw:
        path = f"/v1/artifacts/{artifact}/chunks"
        raw.sendall(f"GET {path} HTTP/1.1\r\nRange: bytes=10-19\r\nConnection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: raw.recv(65536), b""))
        assert said.split(b"\r\n\r\n", 1)[1] == whole(site, artifact)[10:20]


def test_a_damaged_registry_sends_nothing_wrong(site: Site, artifact: str) -> None:
    expected, path = whole(site, artifact), f"/v1/artifacts/{artifact}/chunks"
    (pack,) = (site.folder / "registry" / "packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    with road(site) as made:
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(made, path)
        assert expected.startswith(caught.value.partial)
        start = len(caught.value.partial)
        answer, body = ask(made, path, Range=f"bytes={start}-{start + 100}")
        assert answer.status == 500
        assert pack.name[:12].encode() in body


def test_a_registry_that_is_away_is_waited_for(site: Site, artifact: str) -> None:
    registry = site.folder / "registry"
    registry.rename(site.folder / "away")
    path = f"/v1/artifacts/{artifact}/index"
    with road(site) as made:
        answer, _ = ask(made, path)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        (site.folder / "away").rename(registry)
        answer, body = ask(made, path)
        assert (answer.status, body) == (200, index_of(site, artifact))


def test_devices_show_their_certificate_and_have_rates_of_their_own(
    site: Site, artifact: str, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    certificate, key = authority.server("depot")
    listen = Listen("--http", "127.0.0.1", 0, certificate, key, authority.ca)
    size = len(whole(site, artifact))
    limits = HttpLimits(per_device=Rate(size, size / 2))
    path = f"/v1/artifacts/{artifact}/chunks"

    def known(by: Authority, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.load_cert_chain(*map(str, by.server(name)))
        return context

    with road(site, listen, limits) as made:
        began = time.monotonic()
        answer, body = ask(made, path, context=known(authority, "endo-01"))
        assert (answer.status, len(body)) == (200, size)
        assert time.monotonic() - began > 0.3, "half of it is over the burst, and comes at its rate"
        ask(made, path, Range="bytes=0-9", context=known(authority, "endo-02"))
        sent = size + 10
        wait_until(lambda: made.counters.bytes_sent == sent, "what was sent is counted, which comes after it")
        for context in (known(stranger, "endo-01"), ssl.create_default_context(cafile=str(authority.ca))):
            with pytest.raises(OSError):  # noqa: PT011 -- the alert, or the end of the connection
                ask(made, path, context=context)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(made, path)
        assert made.counters.bytes_sent == sent
    with pytest.raises(UsageError, match="know to whom"):
        HttpRoad(Listen("--http", "127.0.0.1", 0, certificate, key), lambda: site.store, site.keyring)


def test_a_device_that_is_revoked_while_it_runs_is_let_in_no_more(
    site: Site, artifact: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server("depot")
    shown = authority.server("endo-01")
    serial = x509.load_pem_x509_certificate(shown[0].read_bytes()).serial_number
    crl = tmp_path / "revoked.pem"

    def revoke(*serials: int) -> None:
        now = dt.datetime.now(dt.timezone.utc)
        made = x509.CertificateRevocationListBuilder().issuer_name(authority.name)
        made = made.last_update(now - dt.timedelta(hours=1)).next_update(now + dt.timedelta(days=1))
        for each in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(each).revocation_date(now)
            made = made.add_revoked_certificate(revoked.build())
        signed = made.sign(authority.key, hashes.SHA256())
        draft = tmp_path / "draft"
        draft.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        draft.replace(crl)

    revoke()
    listen = parse_listen("--http", "127.0.0.1:0", certificate, key, authority.ca, crl)
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(*map(str, shown))
    path = f"/v1/artifacts/{artifact}/index"
    with road(site, listen) as made:
        assert ask(made, path, context=context)[0].status == 200
        revoke(serial)
        with pytest.raises(OSError):  # noqa: PT011 -- the alert, or the end of the connection
            ask(made, path, context=context)
        crl.write_text("damaged")
        with pytest.raises(OSError):  # noqa: PT011 -- what was read before holds
            ask(made, path, context=context)
        revoke()
        assert ask(made, path, context=context)[0].status == 200
    with pytest.raises(UsageError, match="needs the authority"):
        parse_listen("--http", "127.0.0.1:0", certificate, key, None, crl)


def has_ended(connection: socket.socket) -> bool:
    """Read what there is; tell whether the other end has closed."""
    try:
        return not connection.recv(65536)
    except ConnectionError:
        return True


def test_too_many_connections_and_too_long_a_head_are_turned_away(
    site: Site, artifact: str, wait_until: Callable[..., None]
) -> None:
    limits = HttpLimits(
        connections=2, connections_of_one=2, head_bytes=2000, head_seconds=600, idle_seconds=600
    )
    with road(site, limits=limits) as made:
        held = [socket.create_connection(("127.0.0.1", made.port), timeout=60) for _ in range(2)]
        for each in held:
            each.sendall(f"GET /v1/artifacts/{artifact}/index HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert each.recv(8).startswith(b"HTTP/1.1")
        with socket.create_connection(("127.0.0.1", made.port), timeout=60) as third:
            assert third.recv(1) == b""
        assert made.counters.turned_away == 1
        held[0].sendall(b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 5000 + b"\r\n")
        wait_until(lambda: has_ended(held[0]), "the one with the long head is turned away")
        for each in held:
            each.close()

        def lets_in() -> bool:
            try:
                return ask(made, f"/v1/artifacts/{artifact}/index")[0].status == 200
            except (OSError, http.client.HTTPException):
                return False

        wait_until(lets_in, "there is room again")


def test_one_client_has_a_few_connections(site: Site, artifact: str) -> None:
    with road(site, limits=HttpLimits(connections_of_one=1)) as made:
        with socket.create_connection(("127.0.0.1", made.port), timeout=60) as first:
            first.sendall(f"GET /v1/artifacts/{artifact}/index HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert first.recv(8).startswith(b"HTTP/1.1")
            with socket.create_connection(("127.0.0.1", made.port), timeout=60) as second:
                second.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert has_ended(second)
        assert made.counters.turned_away == 1


def test_a_rate_does_not_hold_up_its_end(site: Site, artifact: str) -> None:
    with road(site, limits=HttpLimits(overall=Rate(1, 1))) as made:
        ended = threading.Event()

        def fetch() -> None:
            try:
                ask(made, f"/v1/artifacts/{artifact}/chunks")
            except (OSError, http.client.HTTPException):
                ended.set()

        thread = threading.Thread(target=fetch)
        thread.start()
        while not made.counters.bytes_sent:
            assert thread.is_alive()
        began = time.monotonic()
        made.close()
        assert ended.wait(60)
        assert time.monotonic() - began < 25
        thread.join(60)
