"""Fetching on two roads as the daemon does it: a real disk, real HTTP servers, an MQTT side that the test plays."""

from __future__ import annotations

import logging
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue

import pytest

from edge_runtime.folders import Folders
from edge_runtime.road_http import HttpRoad, HttpSettings
from edge_runtime.roads import SecondRoad
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.worker import Worker
from tests.cluster.certificates import Authority
from tests.conftest import program
from tests.toolkit.registry.making import Site, make_site
from toolkit.fleet.http_limits import HttpLimits
from toolkit.fleet.http_road import HttpRoad as Server
from toolkit.fleet.listen import Listen
from toolkit.protocol.buckets import Rate
from toolkit.protocol.exchange import Disconnected, Finished, FrameArrived, Reconnected, Tick
from toolkit.protocol.pace import PaceSettings
from toolkit.protocol.roads import Prefer, Road
from toolkit.registry.catalogue import open_artifact
from toolkit.registry.export import export
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest
from toolkit.wire.frame import FrameKind, Piece, encode_pieces
from toolkit.wire.index import ChunkRef, decode_index, distinct_chunks
from toolkit.wire.request import decode_request

PACE = PaceSettings(start_window=128 * 1024, first_timeout=0.5, min_timeout=0.3, max_timeout=1.0)
PATIENT = PaceSettings(start_window=128 * 1024, first_timeout=600, min_timeout=600, max_timeout=600)
"""Never asks again, nor takes the other road, because of the time alone: a busy machine is no fault."""
QUICK = {"silence": 1.0, "patience": 1.0}
CALM = {"silence": 60.0, "patience": 60.0}


@dataclass(frozen=True)
class Made:
    """An artifact of a registry, with its chunks at hand."""

    site: Site
    artifact: Digest
    chunks: tuple[ChunkRef, ...]
    stored: dict[Digest, bytes]
    whole: bytes
    """The chunks file, put together by hand."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    site = make_site(tmp_path_factory.mktemp("site"))
    artifact = site.push(version="1", width=150_000).artifact
    manifest = open_artifact(site.store, artifact, site.keyring).manifest
    index = decode_index(site.store.get_index_bytes(manifest.index), manifest.index)
    chunks = distinct_chunks(index)
    stored = {chunk.digest: site.store.read_stored(chunk.digest) for chunk in chunks}
    whole = b"".join(open_chunk(stored[chunk.digest], *chunk) for chunk in chunks)
    return Made(site, artifact, chunks, stored, whole)


class Bench:
    """Fetches of one device. The test is the control thread, and the depot on the MQTT side."""

    def __init__(
        self,
        folder: Path,
        made: Made,
        url: str,
        prefer: Prefer = "auto",
        *,
        slow: float = 0.0,
        mqtt_is_late: bool = False,
        deaf: bool = False,
        pace: PaceSettings = PACE,
        **settings: object,
    ) -> None:
        self.made, self.slow, self.deaf = made, slow, deaf
        self.mqtt_is_late = mqtt_is_late
        """What MQTT brings has to wait while HTTP owes anything, and takes a minute by `clock`."""
        self.waiting: Queue[Callable[[], None]] = Queue()
        self.clock = 0.0
        self.calls: Queue[Callable[[], None]] = Queue()
        self.folders = Folders(folder)
        self.folders.prepare()
        self.store = Store(self.folders.database)
        self.store.save_manifest(made.artifact, "m", made.site.store.get_sealed(made.artifact))
        self.disk = Worker("disk", self.calls.put)
        self.depot = Worker("depot", self.calls.put)
        self.ending = threading.Event()
        self.asked: list[int] = []
        self.ended: list[object] = []
        self.http = HttpRoad(HttpSettings(url, **settings))
        self.second = SecondRoad(self.http, prefer, self.calls.put)
        self.fetches = Fetches(
            Surroundings(
                device="d",
                store=self.store,
                folders=self.folders,
                disk=self.disk,
                send=self.send,
                now=(lambda: self.clock) if mqtt_is_late else time.monotonic,
                max_frame_bytes=100_000,
                settings=pace,
                second=self.second,
            ),
            starts=1,
        )

    def send(self, payload: bytes) -> None:
        """Answer as a depot would, from a thread of its own, `slow` seconds for each chunk."""
        request, made = decode_request(payload), self.made
        numbers = [n for run in request.runs for n in range(run.first, run.first + run.length)]
        self.asked += numbers
        if self.deaf:
            return

        def answer() -> None:
            for number in numbers:
                if self.slow and self.ending.wait(self.slow):
                    return
                stored = made.stored[made.chunks[number].digest]
                piece = Piece(number, 0, len(stored), stored)
                frame = encode_pieces(FrameKind.CHUNKS, made.artifact, request.epoch, [piece])
                calls = self.waiting if self.mqtt_is_late else self.calls
                calls.put(partial(self.fetches.tell, FrameArrived(frame)))

        self.depot.submit(answer, lambda _: None, lambda _: None)

    def start(self, *, link: bool = True) -> None:
        self.fetches.start_chunks("m", self.made.artifact, self.made.chunks, self.ended.append)
        if link:
            self.fetches.tell(Reconnected())

    def run(self, until: Callable[[], object] | None = None, seconds: float = 120.0) -> object:
        deadline = time.monotonic() + seconds
        while not self.ended and time.monotonic() < deadline and not (until and until()):
            try:
                self.calls.get(timeout=0.05)()
            except Empty:
                self.fetches.tell(Tick())
                self._take_what_is_late()
        return self.ended[-1] if self.ended else None

    def _take_what_is_late(self) -> None:
        fetch = self.fetches.chunks.get("m")
        owed = [] if fetch is None or fetch._roads is None else fetch._roads._under_way.values()
        if self.waiting.empty() or any(way.road is Road.HTTP for way in owed):
            return
        self.clock += 60
        self.waiting.get()()

    @property
    def have(self) -> int:
        return self.store.bitmap(self.made.artifact, len(self.made.chunks)).count

    @property
    def over_http(self) -> int:
        return self.second.received["bytes"]

    def is_right(self) -> bool:
        """Whether every byte of the part file is what it should be."""
        return self.folders.part(self.made.artifact).read_bytes() == self.made.whole

    def close(self) -> None:
        self.ending.set()
        self.fetches.stop("m")
        self.http.close()
        self.depot.close()
        self.disk.close()
        self.store.close()


@pytest.fixture
def bench(tmp_path: Path, made: Made) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def build(url: str, *arguments: Prefer, **options: object) -> Bench:
        benches.append(Bench(tmp_path / f"device-{len(benches)}", made, url, *arguments, **options))
        return benches[-1]

    yield build
    for each in benches:
        each.close()


@contextmanager
def depot(made: Made, listen: Listen | None = None, **limits: object) -> Iterator[Server]:
    server = Server(
        listen or Listen("--http", "127.0.0.1", 0),
        lambda: made.site.store,
        made.site.keyring,
        HttpLimits(**limits),
    )
    server.start()
    try:
        yield server
    finally:
        server.close()


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


# ---------------------------------------------------------------- servers that do as they should
def test_chunks_come_over_http_alone(made: Made, bench: Callable[..., Bench], wait_until) -> None:
    with depot(made) as server:
        device = bench(address(server.port), "http", pace=PATIENT)
        device.start()
        assert device.run() == Finished()
        assert device.asked == []
        assert device.is_right()
        assert device.store.tally(made.artifact).received == len(made.whole) + len(made.chunks)
        # The server counts what it has sent, a moment after it came.
        wait_until(lambda: server.counters.bytes_sent == len(made.whole), "nothing is fetched twice")


@pytest.mark.parametrize("taken", ["http", "mqtt"])
def test_the_probe_decides(
    made: Made, bench: Callable[..., Bench], taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {} if taken == "http" else {"overall": Rate(50_000, 10_000)}
    late = taken == "http"
    with depot(made, **limits) as server, caplog.at_level(logging.INFO):
        device = bench(address(server.port), mqtt_is_late=late, pace=PATIENT, **CALM)
        device.start()
        assert device.run() == Finished()
        assert device.is_right()
        share = device.over_http / len(made.whole)
        assert share > 0.6 if taken == "http" else share < 0.6
        said = [each.getMessage() for each in caplog.records if "takes" in each.getMessage()]
        assert all(f"takes {taken} (http " in each for each in said)
        assert len(said) == 1 or taken == "mqtt", "MQTT may be ready before the other road has said anything"


def test_without_a_broker_the_fetch_goes_on_over_http(made: Made, bench: Callable[..., Bench]) -> None:
    with depot(made) as server:
        device = bench(address(server.port), "mqtt", slow=0.005)
        device.start()
        device.run(lambda: device.have > 5)
        device.fetches.tell(Disconnected())
        device.deaf = True
        before = len(device.asked)
        assert device.run() == Finished()
        assert len(device.asked) == before
        assert device.is_right()


def test_a_depot_that_is_silent_leaves_it_to_http(made: Made, bench: Callable[..., Bench]) -> None:
    with depot(made) as server:
        device = bench(address(server.port), "mqtt", deaf=True)
        device.start()
        assert device.run() == Finished()
        assert device.is_right()


def test_what_came_on_either_road_is_not_asked_again(made: Made, bench: Callable[..., Bench]) -> None:
    with depot(made, overall=Rate(2_000_000, 10_000)) as server:
        device = bench(address(server.port), "http", pace=PATIENT)
        device.start()
        device.run(lambda: device.have >= len(made.chunks) // 4)
        device.fetches.stop("m")
        device.run(lambda: True)
        kept = device.store.bitmap(made.artifact, len(made.chunks))
        lacking = set(kept.missing())
        while not device.calls.empty():
            device.calls.get()()
        again = bench(address(server.port), "mqtt", pace=PATIENT)
        again.store.save_bitmap(made.artifact, kept)
        part = again.folders.part(made.artifact)
        part.write_bytes(device.folders.part(made.artifact).read_bytes())
        again.start()
        assert again.run() == Finished()
        assert set(again.asked) == lacking
        assert again.is_right()


def test_a_server_that_dies_and_comes_back(made: Made, bench: Callable[..., Bench]) -> None:
    with depot(made, overall=Rate(1_000_000, 10_000)) as server:
        port = server.port
        device = bench(address(port), "http", slow=0.002, pace=PATIENT)
        device.start()
        device.run(lambda: device.have >= 10)
        server.close()
        device.run(lambda: device.asked)
        assert device.asked, "the rest is asked of the depot at once"
    assert device.run() == Finished()
    assert device.is_right()
    tally = device.store.tally(made.artifact)
    assert tally.resent <= PACE.max_window


def test_a_static_server_carries_a_copy(
    made: Made, bench: Callable[..., Bench], tmp_path: Path, free_port, wait_until, require
) -> None:
    require("nginx")
    exported = export(made.site.store, "digits", "1", made.site.keyring, tmp_path / "www")
    assert exported.size > len(made.whole)
    assert export(made.site.store, "digits", "1", made.site.keyring, tmp_path / "www").repeated
    for folder in (tmp_path, *(tmp_path / "www").rglob("")):
        folder.chmod(0o755)
    port = free_port()
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; client_body_temp_path {tmp_path}/body; "
        f"proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/fastcgi; "
        f"uwsgi_temp_path {tmp_path}/uwsgi; scgi_temp_path {tmp_path}/scgi;\n"
        f"server {{ listen 127.0.0.1:{port}; root {tmp_path}/www; }} }}\n"
    )
    nginx = program("nginx")
    assert nginx is not None
    command = [
        nginx,
        "-p",
        str(tmp_path),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-e",
        str(tmp_path / "error.log"),
    ]

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    process = begin()
    try:
        device = bench(address(port), "http")
        wait_until((tmp_path / "pid").exists, "nginx stands")
        device.start()
        device.run(lambda: device.over_http > 100_000)
        process.kill()
        process.wait(60)
        assert device.run() == Finished()
        assert device.is_right()
        process = begin()
        second = bench(address(port), "http")
        second.start()
        assert second.run() == Finished()
        assert second.is_right()
    finally:
        process.kill()
        process.wait(60)


# ---------------------------------------------------------------- servers that do not
@dataclass
class Trick:
    """How a server answers."""

    made: Made
    kind: str
    elsewhere: str = ""
    seen: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def answer(self, asked: BaseHTTPRequestHandler) -> None:  # noqa: C901, PLR0912, PLR0915 -- a list of tricks
        self.seen.append(asked.path)
        whole = self.made.whole
        start, stop = (int(each) for each in asked.headers["Range"].removeprefix("bytes=").split("-"))
        body, status = whole[start : stop + 1], 206
        shown = f"bytes {start}-{stop}/{len(whole)}"
        headers: dict[str, str] = {"Content-Length": str(len(body))}
        if self.kind == "wrong bytes":
            body = bytes(len(body))
        elif self.kind == "one bit":
            body = bytes([body[0] ^ 1]) + body[1:]
        elif self.kind == "whole file":
            status, body, headers["Content-Length"] = 200, whole, str(len(whole))
        elif self.kind == "another range":
            shown = f"bytes {start + 1}-{stop + 1}/{len(whole)}"
        elif self.kind == "another size":
            shown = f"bytes {start}-{stop}/{len(whole) + 1}"
        elif self.kind == "too long":
            body, headers["Content-Length"] = body + b"x" * 10, str(len(body) + 10)
        elif self.kind == "no length":
            headers = {"Transfer-Encoding": "chunked"}
        elif self.kind in {"elsewhere", "here"} and not asked.path.startswith("/there"):
            status, headers["Location"] = 302, f"{self.elsewhere}/there{asked.path}"
            body, headers["Content-Length"] = b"", "0"
        elif self.kind == "round and round":
            status, body, headers = 302, b"", {"Location": asked.path, "Content-Length": "0"}
        elif self.kind == "gone":
            status, body, headers = 404, b"", {"Content-Length": "0"}
        asked.send_response(status)
        if status == 206:
            asked.send_header("Content-Range", shown)
        for name, value in headers.items():
            asked.send_header(name, value)
        asked.end_headers()
        if self.kind == "slow drip":
            for byte in body:
                if self.stop.wait(0.3):
                    break
                asked.wfile.write(bytes([byte]))
        elif self.kind == "cut off":
            asked.wfile.write(body[: len(body) // 2])
            asked.close_connection = True
        elif self.kind != "silent":
            asked.wfile.write(body)
        else:
            self.stop.wait(60)


@contextmanager
def tricky(trick: Trick, context: ssl.SSLContext | None = None) -> Iterator[int]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                trick.answer(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing."""

    server = Quiet(("127.0.0.1", 0), Answering)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        trick.stop.set()
        server.shutdown()
        thread.join(60)
        server.server_close()


BAD = [
    ("wrong bytes", "wrong bytes"), ("one bit", "wrong bytes"), ("whole file", "does not know ranges"),
    ("another range", "another range"), ("another size", "another range"), ("too long", "another length"),
    ("no length", "another length"), ("elsewhere", "redirects to another server"),
    ("round and round", "redirects more than"), ("gone", "answers 404"), ("slow drip", "took longer|in time"),
    ("silent", "timed out|in time"), ("cut off", "in the middle"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        pytest.param(kind, says, id=kind, marks=[pytest.mark.faults] if kind != "one bit" else [])
        for kind, says in BAD
    ],
)
def test_a_bad_server_costs_a_detour(
    made: Made, bench: Callable[..., Bench], kind: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = Trick(made, "as it should")
    with tricky(other) as there, tricky(Trick(made, kind, address(there))) as port:
        # Whose fault is another one than time must not be late as well, or that would be told.
        patience = QUICK if kind in {"slow drip", "silent"} else CALM
        device = bench(address(port), "http", pace=PATIENT, **patience)
        device.start()
        assert device.run() == Finished()
        assert device.is_right()
        assert device.asked, "the depot was asked for the rest"
        assert other.seen == [], "no other server is spoken to"
    told = [each.getMessage() for each in caplog.records if each.name == "edge_runtime.roads"]
    assert any(word in text for text in told for word in says.split("|")), told


def test_a_redirect_on_the_same_server_is_followed(made: Made, bench: Callable[..., Bench]) -> None:
    trick = Trick(made, "here")
    with tricky(trick) as port:
        device = bench(address(port), "http", pace=PATIENT)
        device.start()
        assert device.run() == Finished()
        assert device.is_right()
        assert device.asked == []
        assert any(path.startswith("/there") for path in trick.seen)


# ---------------------------------------------------------------- TLS
def test_both_show_certificates_and_a_wrong_name_is_not_spoken_to(
    made: Made, bench: Callable[..., Bench], tmp_path: Path, wait_until
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server("depot")
    own, own_key = authority.server("d")
    listen = Listen("--http", "127.0.0.1", 0, certificate, key, authority.ca)
    files = {"ca_file": str(authority.ca), "certificate_file": str(own), "key_file": str(own_key)}
    with depot(made, listen) as server:
        good = bench(f"https://127.0.0.1:{server.port}", "http", pace=PATIENT, **files)
        good.start()
        assert good.run() == Finished()
        assert good.is_right()
        assert good.asked == []
        wait_until(lambda: server.counters.bytes_sent == len(made.whole), "the server has counted all of it")
        # 127.0.0.2 is this machine too, and no name of the certificate.
        for url, given in (
            (f"https://127.0.0.2:{server.port}", files),
            (f"https://127.0.0.1:{server.port}", {"ca_file": str(authority.ca)}),
            (f"https://127.0.0.1:{server.port}", {**files, "ca_file": ""}),
        ):
            device = bench(url, "http", pace=PATIENT, **given)
            device.start()
            assert device.run() == Finished()
            assert device.over_http == 0
            assert device.asked
        assert server.counters.bytes_sent == len(made.whole)
