"""The watch log loses nothing when a connection breaks in the middle of an event, and says when it cannot go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cluster.api import Api
from tests.cluster.watchlog import WatchLog


def pod(version: int, node: str = "") -> dict:
    meta = {"name": "p", "namespace": "space", "uid": "u", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": "Pending"}}


def event(version: int, kind: str = "MODIFIED") -> bytes:
    return json.dumps({"type": kind, "object": pod(version, "n1")}).encode() + b"\n"


GONE = json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}).encode() + b"\n"


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes], list[str]]]:
    """Serve one list at version 1, then these bodies, one a watch; note the version that each watch asks for."""
    bodies: list[bytes] = []
    asked: list[str] = []

    class Serves(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            self.send_response(200)
            self.end_headers()
            if "watch" not in query:
                self.wfile.write(
                    json.dumps({"metadata": {"resourceVersion": "1"}, "items": [pod(1)]}).encode()
                )
                return
            asked.extend(query["resourceVersion"])
            self.wfile.write(bodies.pop(0))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of what it replaces
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Serves)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", bodies, asked
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_cut_off_event_comes_again_and_a_gap_is_told(server):
    url, bodies, asked = server
    bodies += [event(5) + event(7)[:40], event(7) + event(9, "BOOKMARK"), GONE]
    log = WatchLog(Api(url, "token", Path("none.crt"))).start()
    with pytest.raises(RuntimeError, match="gap") as caught:
        log.wait(lambda: False, "nothing", 100)
    assert "too old" in str(caught.value.__cause__)
    assert asked == ["1", "5", "9"], "each watch goes on where the last whole event ended, bookmarks too"
    assert [(each.version, each.node) for each in log.changes] == [(1, ""), (5, "n1"), (7, "n1")]
    with pytest.raises(RuntimeError, match="gap"):
        log.stop()
