"""Requests against a real HTTP server: what is repeated, what is final, and what a refusal says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.refusal import ConflictError, FieldConflict, RefusedError
from toolkit.cluster.request import ATTEMPTS, Connection
from toolkit.errors import ClusterError, UnreachableError

SCHEMA = {"message": "failed to create typed patch object: .spec.minAvailable: expected numeric"}
OWNED = {
    "message": 'Apply failed with 1 conflict: conflict with "kubectl-edit"',
    "details": {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "field": ".spec.a",
                "message": 'conflict with "kubectl-edit" using v1',
            }
        ]
    },
}


class Server(ThreadingHTTPServer):
    """Gives its answers one after the other, the last one for ever, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.answers: list[tuple[int, object]] = []
        self.asked: list[str] = []
        self.forms: list[str] = []

    def connection(self) -> Connection:
        host = f"http://127.0.0.1:{self.server_address[1]}"
        return Connection("main", "hospital", host, urllib3.PoolManager(), dict)


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.forms.append(self.headers.get("Content-Type", ""))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    do_PATCH = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  # the names that the server looks for

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize(
    ("code", "body"),
    [(429, {}), (502, {}), (503, {}), (504, {}), (500, {"message": "etcdserver: request timed out"})],
)
def test_a_busy_server_is_asked_again(server, code, body):
    server.answers = [(code, body), (code, body), (200, {"kind": "Fine"})]
    assert server.connection().get("/api/v1") == {"kind": "Fine"}
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("code", "body"), [(500, SCHEMA), (422, {"message": "no"}), (403, {"message": "no"})]
)
def test_a_no_is_final(server, code, body):
    server.answers = [(code, body)]
    with pytest.raises(RefusedError, match=body["message"].split(":")[0]) as caught:
        server.connection().get("/api/v1")
    assert caught.value.status == code
    assert len(server.asked) == 1


def test_a_server_that_stays_busy_is_given_up(server):
    server.answers = [(503, {"message": "overloaded"})]
    with pytest.raises(RefusedError, match="overloaded"):
        server.connection().get("/api/v1")
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_may_have_happened_is_not_asked_for_twice(server, method):
    server.answers = [(503, {"message": "who knows"}), (200, {})]
    with pytest.raises(RefusedError, match="who knows"):
        server.connection().send(method, "/api/v1/things", {}, {})
    assert len(server.asked) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_the_server_did_not_begin_is_asked_for_again(server, method):
    server.answers = [(429, {}), (200, {"kind": "Fine"})]
    assert server.connection().send(method, "/api/v1/things", {}, {}) == {"kind": "Fine"}
    assert len(server.asked) == 2


def test_a_server_that_comes_late_gets_even_a_post(server):
    """No connection came about, so nothing can have happened."""
    server.answers = [(200, {"kind": "Fine"})]
    there = server.connection()
    tried: list[str] = []

    class Late(urllib3.PoolManager):
        """Finds nobody at the address the first two times."""

        def request(self, method: str, url: str, *arguments: object, **options: object):
            tried.append(method)
            if len(tried) < 3:
                with socket.socket() as nobody:  # bound and not listening: whoever knocks is refused
                    nobody.bind(("127.0.0.1", 0))
                    url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
                    return super().request(method, url, *arguments, **options)
            return super().request(method, url, *arguments, **options)

    connection = Connection("main", "hospital", there.host, Late(), dict)
    assert connection.send("POST", "/api/v1/things", {}, {}) == {"kind": "Fine"}
    assert (tried, len(server.asked)) == (["POST"] * 3, 1)


def test_only_a_patch_is_an_apply(server):
    server.answers = [(200, {})]
    for method in ("PATCH", "POST", "PUT", "DELETE"):
        server.connection().send(method, "/api/v1/things", {}, {})
    assert server.forms == ["application/apply-patch+yaml", *["application/json"] * 3]


def test_what_is_not_json_is_no_answer_of_an_api_server(server):
    server.answers = [(200, b"<html>please log in</html>")]
    with pytest.raises(ClusterError, match="not JSON") as caught:
        server.connection().get("/api/v1")
    assert "proxies" in caught.value.hint


def test_the_servers_clock_is_read_from_its_answers(server):
    server.answers = [(200, {})]
    connection = server.connection()
    assert connection.clock.offset_seconds is None
    connection.get("/api/v1")
    assert abs(connection.clock.offset_seconds) < 60, "but for the time that the answer took"


def test_a_conflict_names_field_and_owner(server):
    server.answers = [(409, OWNED)]
    with pytest.raises(ConflictError) as caught:
        server.connection().send("PATCH", "/api/v1", {}, {})
    assert caught.value.conflicts == (FieldConflict(".spec.a", "kubectl-edit"),)


def test_another_409_is_no_conflict_of_owners(server):
    server.answers = [(409, {"message": "the object has been modified"})]
    with pytest.raises(RefusedError, match="modified") as caught:
        server.connection().get("/api/v1")
    assert not isinstance(caught.value, ConflictError)


def test_silence_names_cluster_and_context(free_port):
    silent = Connection("main", "hospital", f"http://127.0.0.1:{free_port()}", urllib3.PoolManager(), dict)
    with pytest.raises(UnreachableError, match=r"'main'.*hospital") as caught:
        silent.get("/api/v1")
    assert caught.value.exit_code == 5


def test_an_unknown_kind_is_asked_once_and_names_what_brings_it(server):
    server.answers = [(404, {})]
    with pytest.raises(ClusterError, match="no kind Queue") as caught:
        Kinds(server.connection()).resource("scheduling.volcano.sh/v1beta1", "Queue")
    assert "Volcano" in caught.value.hint


def test_a_found_kind_is_remembered(server):
    server.answers = [(200, {"resources": [{"name": "queues", "kind": "Queue", "namespaced": False}]})]
    kinds = Kinds(server.connection())
    for _ in range(2):
        path = kinds.resource("scheduling.volcano.sh/v1beta1", "Queue").path(name="q")
        assert path == "/apis/scheduling.volcano.sh/v1beta1/queues/q"
    assert len(server.asked) == 1
