"""Bytes on a socket: framing, limits, attacks, and noise. Each runs on asyncio's loop and on uvloop."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.limits import Limits
from tests.contracts.engine import HeldEngine, feed, save_model, scale_model
from tests.edge_runtime.serving.conftest import request_of
from toolkit.wire.device_config import ModelConfig

M = ModelConfig(name="m")
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n"
BODY = json.dumps(request_of(x=np.ones((1, 4), np.float32))).encode()
INFER = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture
def serving(serve, tmp_path):
    serving = serve(M)
    serving.swap("m", "1", open_engine(scale_model(tmp_path / "m.onnx", 2)))
    return serving


def read_responses(connection, count=None):
    """Read whole responses until the server closes, or until there are `count`: (status, headers, body)."""
    stream = connection.makefile("rb")
    responses = []
    while count is None or len(responses) < count:
        try:
            line = stream.readline()
        except ConnectionResetError:
            break
        if not line:
            break
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        headers = {}
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        responses.append((int(status), headers, body))
    return responses


def exchange(serving, data, count=None, *, pieces=None):
    """Send bytes, whole or in pieces, and read `count` answers, or all that come until the server closes."""
    with serving.connect() as connection:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), pieces or len(data) or 1):
                connection.sendall(data[start : start + (pieces or len(data))])
        return read_responses(connection, count)


def statuses(responses):
    return [status for status, _, _ in responses]


# ---------------------------------------------------------------- what is right
@pytest.mark.parametrize("pieces", [None, 1, 7])
def test_requests_may_come_in_any_pieces_and_many_at_once(serving, pieces):
    responses = exchange(serving, LIVE + INFER + LIVE + INFER, 4, pieces=pieces)
    assert statuses(responses) == [200] * 4
    assert [json.loads(body).get("live") for _, _, body in responses] == [True, None, True, None]
    assert json.loads(responses[1][2])["outputs"][0]["data"] == [2, 2, 2, 2]


def test_a_hundred_pipelined_requests_are_answered_in_order(serving):
    paths = [b"/v2/models/%d" % number for number in range(100)]
    data = b"".join(LIVE.replace(b"/v2/health/live", path) for path in paths)
    responses = exchange(serving, data, 100)
    assert [json.loads(body)["error"] for _, _, body in responses] == [
        f"no model is named '{number}'; here are: m" for number in range(100)
    ]


def test_a_connection_is_kept(serving):
    client = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    client.request("GET", "/v2/health/live")
    client.getresponse().read()
    first = client.sock
    client.request("GET", "/v2/health/live")
    client.getresponse().read()
    assert first is not None
    assert client.sock is first
    client.close()


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET /v2 HTTP/1.0\r\n\r\n", False),
        (b"GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_closing_is_the_clients_choice(serving, head, kept):
    with serving.connect() as connection:
        connection.sendall(head)
        [(status, headers, _)] = read_responses(connection, 1)
        assert status == 200
        assert headers["connection"] == ("keep-alive" if kept else "close")
        if kept:
            connection.sendall(LIVE)
        assert statuses(read_responses(connection, 1)) == ([200] if kept else [])


def test_what_follows_a_close_is_not_answered(serving):
    closing = LIVE.replace(b"Host", b"Connection: close\r\nHost")
    assert statuses(exchange(serving, closing + LIVE)) == [200]


def test_what_comes_in_behind_a_close_is_dropped_without_a_reset(serve):
    """Closing with unread bytes makes the kernel reset the connection; some clients then lose the answer."""
    serving = serve(limits=Limits(linger_seconds=60))
    with serving.connect() as connection:
        connection.sendall(LIVE.replace(b"Host", b"Connection: close\r\nHost"))
        assert statuses(read_responses(connection)) == [200]
        connection.sendall(b"x" * 5_000_000)


def test_head_is_answered_without_a_body(serving):
    """A body would be read as the beginning of the second answer."""
    with serving.connect() as connection:
        connection.sendall(LIVE.replace(b"GET", b"HEAD") + b"BREW / HTTP/1.1\r\n\r\n")
        answers = connection.makefile("rb").read()
    first, _, second = answers.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET" in first
    assert second.startswith(b"HTTP/1.1 400 ")


def test_expecting_100_continue_gets_it_before_the_body(serving):
    head, _, body = INFER.partition(b"\r\n\r\n")
    with serving.connect() as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert statuses(read_responses(connection, 1)) == [200]


def test_100_continue_waits_for_the_answers_before_it(serve):
    serving, engine = serve(M), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    body = json.dumps(request_of(**feed(1))).encode()
    head = INFER.partition(b"\r\n\r\n")[0].replace(str(len(BODY)).encode(), str(len(body)).encode())
    with serving.connect() as connection:
        connection.sendall(head + b"\r\n\r\n" + body + head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert engine.entered.acquire(timeout=60)
        engine.gate.set()
        found = read_responses(connection, 2)
        assert statuses(found) == [200, 100]
        connection.sendall(body)
        assert statuses(read_responses(connection, 1)) == [200]


# ---------------------------------------------------------------- what is wrong
POST = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n"
ATTACKS = {
    "length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    "chunks twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunks then identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
    "two lengths": (POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "the same length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nabcde", 400),
    "signed length": (POST + b"Content-Length: +5\r\n\r\nabcde", 400),
    "negative length": (POST + b"Content-Length: -5\r\n\r\nabcde", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\nabcde", 400),
    "empty length": (POST + b"Content-Length:\r\n\r\n", 400),
    "length of another planet": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "too long for us": (POST + b"Content-Length: 67108865\r\n\r\n", 413),
    "blank before the colon": (POST + b"Content-Length : 5\r\n\r\nabcde", 400),
    "folded header": (POST + b"X: a\r\n b\r\n\r\n", 400),
    "bare line feeds": (b"GET /v2 HTTP/1.1\nHost: a\n\n", 400),
    "bare carriage return": (b"GET /v2 HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    "zero in a header": (POST + b"X: a\0b\r\n\r\n", 400),
    "no host": (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "two tensor header lengths": (
        POST + b"Inference-Header-Content-Length: 1\r\nInference-Header-Content-Length: 2\r\n\r\n",
        400,
    ),
    "upgrade": (b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 501),
    "tunnel": (b"CONNECT here:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v2\r\n\r\n", 505),
    "HTTP/3.7": (b"GET /v2 HTTP/3.7\r\n\r\n", 400),
    "unknown method": (b"BREW /v2 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a response": (b"HTTP/1.1 200 OK\r\n\r\n", 400),
    "other expectation": (POST + b"Expect: a-miracle\r\nContent-Length: 5\r\n\r\nabcde", 417),
    "long header": (POST + b"X: " + b"a" * 20000 + b"\r\n\r\n", 431),
    "many headers": (POST + b"".join(b"X%d: a\r\n" % number for number in range(70)) + b"\r\n", 431),
    "long target": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
}


@pytest.mark.parametrize("pieces", [None, 997, 3])
@pytest.mark.parametrize("case", list(ATTACKS))
def test_attacks_and_mistakes_are_refused_and_nothing_behind_them_is_read(serving, case, pieces):
    """A good request comes behind each, where a smuggled one would be."""
    data, status = ATTACKS[case]
    responses = exchange(serving, data + LIVE, pieces=pieces)
    assert statuses(responses) == [status]
    assert json.loads(responses[0][2])["error"]
    assert responses[0][1]["connection"] == "close"
    assert statuses(exchange(serving, LIVE, 1)) == [200]


@pytest.mark.parametrize("pieces", [None, 997])
@pytest.mark.parametrize("head", [b"GET /", POST + b"X: ", POST])
def test_a_head_without_an_end_is_refused_while_it_comes(serving, head, pieces):
    endless = b"a" * 20000 if head != POST else b"X: a\r\n" * 3000
    assert statuses(exchange(serving, head + endless, pieces=pieces)) == [431]


def test_a_refusal_comes_after_the_answers_before_it(serving):
    assert statuses(exchange(serving, INFER + LIVE + b"nonsense\r\n\r\n")) == [200, 200, 400]


def test_a_body_that_is_too_long_is_refused_before_it_is_read(serve):
    serving = serve(M, limits=Limits(body_bytes=1000, linger_seconds=60))
    head = POST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    with serving.connect() as connection:
        connection.sendall(head)
        [(status, headers, body)] = read_responses(connection, 1)
        assert (status, headers["connection"]) == (413, "close")
        assert "at most 1000 bytes" in json.loads(body)["error"]


def test_a_client_that_sends_its_long_body_anyway_still_sees_the_answer(serve):
    serving = serve(M, limits=Limits(body_bytes=1000, linger_seconds=60))
    status, _, document = serving.ask("POST", "/v2/models/m/infer", b"x" * 5_000_000)
    assert (status, "at most 1000 bytes" in document["error"]) == (413, True)


# ---------------------------------------------------------------- time, crowds, memory
def long_after(serving, seconds=1000.0):
    """Let the server look at its connections as it will so much later."""
    done = threading.Event()

    def look():
        serving.server._floor.sweep(serving.loop.time() + seconds)
        done.set()

    serving.loop.call_soon_threadsafe(look)
    assert done.wait(60)


@pytest.mark.parametrize("sent", [b"G", b"GET /v2 HTTP/1.1\r\nHo", INFER[:-1]])
def test_a_request_that_takes_too_long_is_refused(serve, sent):
    serving = serve(M, limits=Limits(read_seconds=0.2))
    with serving.connect() as connection:
        connection.sendall(sent)
        [(status, _, body)] = read_responses(connection)
        assert (status, "longer than 0.2 s" in json.loads(body)["error"]) == (408, True)


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_silent_connection_is_closed(serve, sent):
    serving = serve(M, limits=Limits(idle_seconds=0.3))
    with serving.connect() as connection:
        connection.sendall(sent)
        assert statuses(read_responses(connection)) == []


def test_a_connection_that_falls_silent_is_closed(serve):
    serving = serve(M)
    with serving.connect() as connection:
        connection.sendall(LIVE)
        assert statuses(read_responses(connection, 1)) == [200]
        long_after(serving, Limits().idle_seconds - 60)
        connection.sendall(LIVE)
        assert statuses(read_responses(connection, 1)) == [200]
        long_after(serving)
        assert statuses(read_responses(connection)) == []


def test_a_request_that_is_worked_on_may_take_its_time(serve):
    """Longer than all limits of silence: those are about clients, not about models."""
    serving, engine = serve(M), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    body = json.dumps(request_of(**feed(1))).encode()
    with serving.connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert engine.entered.acquire(timeout=60)
        long_after(serving)
        engine.gate.set()
        assert statuses(read_responses(connection, 1)) == [200]


def test_a_client_that_does_not_read_is_cut_off(serve, tmp_path, wait_until):
    """It asks for far more than the kernel buffers between the two."""
    expand = save_model(
        tmp_path / "m.onnx",
        [_expand()],
        [("x", 1, ["n", 1])],
        [("y", 1, ["n", 2_000_000])],
        {"shape": np.array([1, 2_000_000])},
    )
    serving = serve(M, limits=Limits(read_seconds=0.2))
    serving.swap("m", "1", open_engine(expand))
    body = {**request_of(x=np.ones((1, 1), np.float32)), "parameters": {"binary_data_output": True}}
    data = json.dumps(body).encode()
    with serving.connect() as connection:
        floor = serving.server._floor
        wait_until(lambda: floor.connections, "it is connected")
        connection.sendall((POST + b"Content-Length: %d\r\n\r\n" % len(data) + data) * 3)
        wait_until(lambda: not floor.connections, "it is cut off")
        wait_until(lambda: floor.buffered_bytes == 0, "what it sent is forgotten, which comes after that")


def _expand():
    from onnx import helper

    return helper.make_node("Expand", ["x", "shape"], ["y"])


def test_a_client_that_sends_faster_than_it_is_answered_is_read_no_further(serve):
    serving, engine = serve(M, limits=Limits(pipelined=2)), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    body = json.dumps(request_of(**feed(1))).encode()
    body += b" " * (100_000 - len(body))
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    sent = 0
    with serving.connect() as connection:
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while sent < 600:  # 60 MB, far more than the kernel keeps for us
                connection.sendall(request)
                sent += 1
        assert sent < 600
        assert serving.server._floor.buffered_bytes < 5_000_000
        engine.gate.set()
        connection.settimeout(60)
        assert statuses(read_responses(connection, sent)) == [200] * sent


def test_too_many_connections_are_sent_away(serve):
    serving = serve(M, limits=Limits(connections=3))
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(serving.connect()) for _ in range(3)]
        for connection in inside:
            connection.sendall(LIVE)
            assert statuses(read_responses(connection, 1)) == [200]
        [(status, headers, body)] = exchange(serving, LIVE)
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body)["error"] == "too many connections"
        inside[0].sendall(LIVE)
        assert statuses(read_responses(inside[0], 1)) == [200]


def test_all_bodies_together_have_a_limit_that_is_given_back(serve, wait_until):
    serving = serve(M, limits=Limits(body_bytes=1000, buffered_bytes=1500))
    head = POST + b"Content-Length: 1000\r\n\r\n"
    floor = serving.server._floor
    with serving.connect() as first:
        first.sendall(head + b"x" * 900)
        wait_until(lambda: floor.buffered_bytes == 900, "the first body has come in")
        [(status, headers, _)] = exchange(serving, head + b"x" * 700)
        assert (status, headers["retry-after"]) == (503, "1")
    wait_until(lambda: floor.buffered_bytes == 0, "both are forgotten")
    # read whole, and refused only because the model has no version
    assert statuses(exchange(serving, head + b"x" * 1000, 1)) == [503]
    assert floor.buffered_bytes == 0


def test_a_client_that_goes_away_gives_its_place_in_the_queue_back(serve, wait_until):
    serving, engine = serve(ModelConfig(name="m", queue=1)), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    body = json.dumps(request_of(**feed(1))).encode()
    data = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with serving.connect() as first:
        first.sendall(data)
        assert engine.entered.acquire(timeout=60)
        outcomes = serving.table.stats()[0].outcomes
        with serving.connect() as second:
            second.sendall(data)
            wait_until(lambda: serving.table.find("m").admission.waiting == 1, "the second one waits")
        wait_until(lambda: outcomes["cancelled"] == 1, "its leaving is seen")
        engine.gate.set()
        assert statuses(read_responses(first, 1)) == [200]
    # The place is given back by the engine's thread, which may come to it after the first answer is out.
    wait_until(lambda: serving.table.find("m").admission.waiting == 0, "its place is free")
    assert engine.rows == [1]
    assert serving.ask("POST", "/v2/models/m/infer", request_of(**feed(1)))[0] == 200


# ---------------------------------------------------------------- noise
END = b"\0" * 5000
"""Whatever state a request was left in, this ends it: too long for a body, and not allowed in a head."""
FUZZ = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
}


@pytest.fixture
def quiet_serving(serve, tmp_path, caplog):
    """A server that must not log an error, whatever comes in."""
    caplog.set_level(logging.ERROR)
    serving = serve(M, limits=Limits(body_bytes=4000))
    serving.swap("m", "1", open_engine(scale_model(tmp_path / "m.onnx", 2)))
    yield serving
    # `caplog.records` begins anew when the test has ended; what others left to the collector of garbage is not ours.
    here, said = serving.thread.ident, caplog.get_records("call")
    assert not [each for each in said if each.thread == here or each.name.startswith("edge_runtime")]


@settings(max_examples=150, **FUZZ)
@given(noise=st.binary(max_size=500))
def test_noise_is_refused(quiet_serving, noise):
    [status] = statuses(exchange(quiet_serving, noise + END))
    assert 400 <= status < 500
    assert statuses(exchange(quiet_serving, LIVE, 1)) == [200]


@settings(max_examples=250, **FUZZ)
@given(
    st.lists(
        st.tuples(st.integers(0, 3 * len(INFER)), st.integers(0, 20), st.binary(max_size=20)),
        min_size=1,
        max_size=4,
    ),
    st.one_of(st.none(), st.integers(1, 60)),
)
def test_damaged_requests_are_survived(quiet_serving, damages, pieces):
    data = bytearray(INFER + LIVE + INFER)
    for at, cut, noise in damages:
        data[at : at + cut] = noise
    responses = exchange(quiet_serving, bytes(data) + END, pieces=pieces)
    assert responses
    assert all(json.loads(body) for _, _, body in responses)
    assert 500 not in statuses(responses)
    assert statuses(exchange(quiet_serving, INFER, 1)) == [200]


def test_many_clients_at_once_get_their_own_answers(serving):
    wrong = []

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        for turn in range(50):
            x = np.array([[number, turn, 0, 0]], np.float32)
            connection.request("POST", "/v2/models/m/infer", json.dumps(request_of(x=x)))
            document = json.loads(connection.getresponse().read())
            if document.get("outputs", [{}])[0].get("data") != [2 * number, 2 * turn, 0, 0]:
                wrong.append(document)
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert serving.table.stats()[0].outcomes["ok"] == 300
