"""Heads that were read before: what comes of them is what the parser would have made of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.serving.credentials import Credentials
from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import Caller, Door, Guard
from edge_runtime.serving.heads import LONGEST, MOST, NO_HEAD, Heads
from edge_runtime.serving.http import error_response
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.reader import Reader
from toolkit.wire.device_config import ServingConfig

INFER = "POST /v2/models/m/infer HTTP/1.1"


def head(*lines, start=INFER, end="\r\n"):
    return (end.join((start, "Host: a", *lines)) + end * 2).encode("latin-1")


def asks(length, *lines):
    return head(f"Content-Length: {length}", *lines)


HEADS = {
    "plain": asks(4),
    "nothing": head(start="GET /v2 HTTP/1.1"),
    "empty": asks(0),
    "header length": asks(4, "Inference-Header-Content-Length: 2"),
    "close": asks(4, "Connection: close"),
    "old": head("Content-Length: 4", start=INFER.replace("1.1", "1.0")),
    "old that stays": head("Content-Length: 4", "Connection: keep-alive", start=INFER.replace("1.1", "1.0")),
    "query": head("Content-Length: 4", start=INFER.replace("infer", "infer?a=b")),
    "crlf before": b"\r\n" + asks(4),
    "lone lf": head("Content-Length: 4", end="\n"),
    "lf in a body": head("Content-Length: 9", end="\n") + b"abcd\r\n\r\n",
    "two in one": head(start="GET /v2 HTTP/1.1", end="\n") + head(start="GET /v2/health/live HTTP/1.1"),
    "secret": asks(4, "Authorization: Bearer x"),
    "twice": asks(4, "Content-Length: 5"),
    "chunked": head("Transfer-Encoding: chunked"),
    "both": asks(4, "Transfer-Encoding: chunked"),
    "no host": b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n",
    "expects": asks(4, "Expect: 100-continue"),
    "too long": asks(99_999_999),
    "negative": asks(-4),
    "folded": asks(4, "X: a", " b"),
    "upgrade": asks(4, "Upgrade: websocket", "Connection: upgrade"),
    "other path": head("Content-Length: 4", start="POST /v2/repository/models/m/load HTTP/1.1"),
}


class Listener:
    """A reader that writes down what it passes on."""

    def __init__(self, floor, guard=None):
        self.floor, self.seen = floor, []
        guard = guard or Guard(Credentials(ServingConfig()), Door.LOOPBACK)
        self.reader = Reader(floor, guard, lambda: None, self.take, peer="p", certificate="")

    def take(self, request):
        body = bytes(request.body)
        kept = (request.keep_alive, request.version, request.client, request.user)
        self.seen.append((request.method, request.path, dict(request.headers), body, *kept))
        self.reader.release(len(body))

    def feed(self, data, sizes=()):
        """Give bytes in such pieces, until they end or are refused; give what was seen."""
        start, turn = 0, 0
        while start < len(data):
            room = self.reader.room()
            size = min(len(room), len(data) - start, sizes[turn % len(sizes)] if sizes else len(data))
            room[:size] = data[start : start + size]
            start, turn = start + size, turn + 1
            refusal = self.reader.take(size)
            if refusal is not None:
                self.seen.append((refusal.status, bytes(b"".join(refusal.body))))
                break
        return self.seen


def floor():
    return Floor(Limits(body_bytes=1_000_000))


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    names=st.lists(st.sampled_from(list(HEADS)), min_size=1, max_size=4),
    bodies=st.lists(st.sampled_from([b"", b"abcd", b"ab", b"\r\n\r\n", b"POST", b"\n\nab"]), max_size=4),
    sizes=st.lists(st.integers(1, 200), max_size=4),
)
def test_what_is_known_is_read_as_what_is_not(names, bodies, sizes):
    pieces = [
        HEADS[name] + (bodies[turn % len(bodies)] if bodies else b"") for turn, name in enumerate(names)
    ]
    stream = b"".join(pieces)
    known = floor()
    for piece in (*HEADS.values(), *pieces, stream):
        Listener(known).feed(piece + b"abcd")
    strict = floor()
    strict.heads.find = {}.get  # knows nothing, whatever it is told
    assert Listener(known).feed(stream, sizes) == Listener(strict).feed(stream, sizes)
    assert known.buffered_bytes >= 0


def test_a_head_that_came_before_is_not_parsed_again():
    place = floor()
    listener = Listener(place)
    for body in (b"abcd", b"efgh"):
        listener.feed(HEADS["plain"] + body)
    assert [seen[3] for seen in listener.seen] == [b"abcd", b"efgh"]
    assert listener.seen[0][2] is not None
    assert place.heads.find(HEADS["plain"]) is not None
    del listener.reader._parser  # nobody asks it any more
    assert listener.feed(HEADS["plain"] + b"ijkl")[-1][3] == b"ijkl"


@pytest.mark.parametrize(
    "name", ["lone lf", "lf in a body", "two in one", "secret", "expects", "nothing", "empty", "too long"]
)
def test_what_is_not_kept(name):
    place = floor()
    Listener(place).feed(HEADS[name] + b"abcd")
    assert place.heads._known == {}


@pytest.mark.parametrize("expected", [False, True])
def test_who_may_ask_is_looked_at_again(expected):
    class Fickle:
        open = True

        def admit(self, path, authorization, **who):
            assert (path, authorization, who["peer"]) == (b"/v2/models/m/infer", "", "p")
            return Caller("p", frozenset()) if self.open else error_response(403, "no longer")

    guard = Fickle()
    listener = Listener(floor(), guard)
    for _ in range(3 if expected else 1):
        listener.feed(HEADS["plain"] + b"abcd")
    assert (listener.reader.room().obj is not listener.floor.room) == expected
    guard.open = False
    assert listener.feed(HEADS["plain"] + b"abcd")[-1][0] == 403
    assert listener.floor.buffered_bytes == 0


def test_no_more_are_kept_than_may_be_and_none_that_is_long():
    heads = Heads()
    for number in range(MOST + 5):
        heads.keep(asks(4, f"X: {number}"), NO_HEAD)
    assert len(heads._known) == 5
    lenient = head("Content-Length: 4", end="\n") + b"\r\n\r\n"
    heads.keep(lenient, NO_HEAD)
    assert heads.find(lenient) is None
    long = asks(4, "X: " + "x" * LONGEST)
    heads.keep(long, NO_HEAD)
    assert heads.find(long) is None
    assert heads.find(asks(4, f"X: {MOST + 4}")) is NO_HEAD
