"""Requests against a real HTTP server: what is repeated, what is final, and what a refusal says."""

from __future__ import annotations

import json
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

    def connection(self) -> Connection:
        host = f"http://127.0.0.1:{self.server_address[1]}"
        return Connection("main", "hospital", host, urllib3.PoolManager(), dict)


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        code, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    do_PATCH = do_GET  # noqa: N815  # the name that the server looks for

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
