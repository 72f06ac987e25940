"""How watches go on, against a server that answers as it is told: too old, cut off, busy, silent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from toolkit.cluster.readiness import State
from toolkit.cluster.refusal import RefusedError
from toolkit.cluster.request import ATTEMPTS, Connection
from toolkit.cluster.wait import raise_for_time, wait
from toolkit.errors import ClusterError
from toolkit.render.rendered import RenderedObject

OBJECT = RenderedObject(
    "main", "clusters.main", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "site"}}
)
HANGS_UP = 0
CUT_OFF = b'{"type": "MODIFIED", "obj'


def namespace(phase: str, version: int) -> dict:
    metadata = {"name": "site", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "status": {"phase": phase}}


def event(kind: str, body: dict) -> dict:
    return {"type": kind, "object": body}


BOOKMARK = event("BOOKMARK", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"resourceVersion": "20"}})
TOO_OLD = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.lists: list[tuple[int, object]] = []
        self.watches: list[tuple[int, list[object]]] = []
        self.job_watches: list[tuple[int, list[object]]] = []
        self.asked: list[str] = []
        self.stop, self.stop_when_asked = threading.Event(), ""
        """A wait is ended when it watches from this version: all before it has been taken in."""

    def wait(self, seconds: float = 100, objects: Sequence[RenderedObject] = (OBJECT,), **more: object):
        host = f"http://127.0.0.1:{self.server_address[1]}"
        connection = Connection("main", "hospital", host, urllib3.PoolManager(), dict)
        return wait(connection, "site", objects, seconds=seconds, **{"stop": self.stop, **more})


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if "events" in self.path:
            return self._answer(200, {"items": []})
        if "watch" not in query:
            self.server.asked.append("list")
            lists = self.server.lists
            return self._answer(*(lists.pop(0) if len(lists) > 1 else lists[0]))
        self.server.asked.append(query["resourceVersion"])
        if self.server.asked[-1] == self.server.stop_when_asked:
            self.server.stop.set()
        assert query["allowWatchBookmarks"] == "true"
        watches = self.server.job_watches if "/jobs" in self.path else self.server.watches
        code, events = watches.pop(0) if len(watches) > 1 else watches[0]
        if code != 200:
            return self._answer(code, {"message": "no"})
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for each in events:
            data = each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        if events and events[-1] == CUT_OFF:
            self.close_connection = True  # without the last chunk: the line went dead
            return None
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _answer(self, code: int, body: object) -> None:
        if code == HANGS_UP:
            self.close_connection = True
            return
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


def listed(phase: str, version: int) -> tuple[int, object]:
    return 200, {"items": [namespace(phase, version)], "metadata": {"resourceVersion": str(version)}}


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


ACTIVE = (200, [event("MODIFIED", namespace("Active", 30))])


def test_an_event_makes_it_ready(server):
    server.lists, server.watches = [listed("New", 5)], [ACTIVE]
    assert server.wait().not_ready == ()
    assert server.asked == ["list", "5"]


def test_what_runs_already_is_not_watched(server):
    server.lists = [listed("Active", 5)]
    assert server.wait().not_ready == ()
    assert server.asked == ["list"]


@pytest.mark.parametrize("too_old", [(410, []), (200, [TOO_OLD])], ids=["410", "ERROR"])
def test_too_old_a_version_begins_again_with_a_list(server, too_old):
    server.lists = [listed("New", 5), listed("New", 9)]
    server.watches = [too_old, ACTIVE]
    assert server.wait().not_ready == ()
    assert server.asked == ["list", "5", "list", "9"]


@pytest.mark.parametrize(
    "passing",
    [(200, []), (200, [CUT_OFF]), (200, [b"<html>\n"]), (429, []), (500, []), (503, [])],
    ids=["ended", "cut off", "no event", "429", "500", "503"],
)
def test_a_watch_that_breaks_goes_on_where_it_was(server, passing):
    server.lists = [listed("New", 5)]
    server.watches = [(200, [event("MODIFIED", namespace("New", 7)), BOOKMARK]), passing, ACTIVE]
    assert server.wait().not_ready == ()
    assert server.asked == ["list", "5", "20", "20"]


def test_a_server_that_ends_watches_at_once_is_not_stormed(server):
    server.lists, server.watches = [listed("New", 5)], [(200, [])]
    server.wait(seconds=1.2)
    assert len(server.asked) < 6


def test_a_watch_that_is_not_allowed_is_an_error(server):
    server.lists, server.watches = [listed("New", 5)], [(403, [])]
    with pytest.raises(RefusedError, match="watch") as caught:
        server.wait()
    assert "can-i" in caught.value.hint


def test_what_is_deleted_is_missing(server):
    server.lists, server.watches = [listed("New", 5)], [(200, [event("DELETED", namespace("Active", 6))])]
    server.stop_when_asked = "6"
    (found,) = server.wait().objects
    assert (found.state, found.reason) == (State.PROGRESSING, "it is not in the cluster")


def test_events_about_others_say_nothing(server):
    other = namespace("Active", 6)
    other["metadata"]["name"] = "other"
    server.lists, server.watches = [listed("New", 5)], [(200, [event("MODIFIED", other)])]
    server.stop_when_asked = "6"
    assert [each.reason for each in server.wait().not_ready] == ["phase New"]


JOB = RenderedObject(
    "main",
    "x",
    {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "ours", "namespace": "site"}},
)


def job(name: str, condition: str) -> dict:
    metadata = {"name": name, "namespace": "site", "resourceVersion": "6"}
    status = {"conditions": [{"type": condition, "status": "True"}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status}


def test_a_failure_of_what_was_not_asked_for_ends_nothing(server):
    server.lists = [(200, {"items": [], "metadata": {"resourceVersion": "5"}})]
    events = [event("ADDED", job("another", "Failed")), event("ADDED", job("ours", "Complete"))]
    server.job_watches = [(200, events)]
    assert server.wait(objects=[JOB]).not_ready == ()


def test_an_error_of_one_watch_ends_the_others_at_once(server):
    server.lists = [(200, {"items": [], "metadata": {"resourceVersion": "5"}})]
    server.watches, server.job_watches = [(403, [])], [(200, [])]
    begin = time.monotonic()
    with pytest.raises(RefusedError):
        server.wait(objects=[JOB, OBJECT])
    assert time.monotonic() - begin < 90


def test_the_time_is_over_also_when_nothing_happens(server):
    server.lists, server.watches = [listed("New", 5)], [(200, [])]
    waited = server.wait(seconds=1)
    assert 1 <= waited.seconds < 60
    with pytest.raises(ClusterError, match="phase New"):
        raise_for_time(waited)


def test_somebody_may_end_it(server):
    server.lists, server.watches = [listed("New", 5)], [(200, [])]
    stop, begin = threading.Event(), time.monotonic()
    threading.Timer(0.3, stop.set).start()
    assert server.wait(stop=stop).not_ready
    assert time.monotonic() - begin < 90


def test_a_server_that_is_away_for_a_while_is_waited_for(server):
    """Too old a version, and then no list either, in all attempts of a request: the time is not over yet."""
    server.lists = [listed("New", 5), *[(HANGS_UP, None)] * ATTEMPTS, listed("Active", 9)]
    server.watches = [(410, [])]
    assert server.wait().not_ready == ()
    assert server.asked.count("list") == ATTEMPTS + 2
