"""Bodies laid where they belong: in pieces of any size, aligned for the first tensor, and forgotten with the client."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.serving.credentials import Credentials
from edge_runtime.serving.floor import SCRATCH, Floor
from edge_runtime.serving.guard import Door, Guard
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.reader import ALIGNMENT, LONGEST_READ, Reader
from edge_runtime.serving.tensors import decode_request
from toolkit.wire.device_config import ServingConfig

LIVE = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = Limits(body_bytes=4_000_000, buffered_bytes=6_000_000)


class Listener:
    """A reader with what it passes on."""

    def __init__(self, limits=LIMITS):
        self.requests, self.bodies = [], []
        self.floor = Floor(limits)
        guard = Guard(Credentials(ServingConfig()), Door.LOOPBACK)
        self.reader = Reader(self.floor, guard, lambda: None, self.requests.append, peer="p", certificate="")

    def feed(self, data, sizes=()):
        """Give bytes the way a transport does: into the room, no more than fits and no more than each of the sizes."""
        start, turn = 0, 0
        while start < len(data):
            room = self.reader.room()
            assert len(room) > 0
            size = min(len(room), len(data) - start, sizes[turn % len(sizes)] if sizes else len(data))
            room[:size] = data[start : start + size]
            start, turn = start + size, turn + 1
            refusal = self.reader.take(size)
            if refusal is not None:
                return refusal
        return None


def post(body, *headers):
    lines = ["POST /v2/models/m/infer HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    lengths=st.lists(
        st.sampled_from([0, 1, 100, 4000, SCRATCH, SCRATCH + 7, 300_000]), min_size=1, max_size=4
    ),
    sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=5),
)
def test_bodies_of_any_length_in_pieces_of_any_size_come_out_whole(lengths, sizes):
    listener, noise = Listener(), np.random.default_rng(7)
    bodies = [noise.bytes(length) for length in lengths]
    assert listener.feed(b"".join(map(post, bodies)), sizes if min(sizes) > 50 else (*sizes, 5000)) is None
    assert [bytes(request.body) for request in listener.requests] == bodies
    assert all(request.keep_alive for request in listener.requests)
    assert listener.floor.buffered_bytes == sum(lengths) == listener.reader.held_bytes
    listener.reader.release(sum(lengths))
    assert listener.floor.buffered_bytes == 0


@pytest.mark.parametrize("padding", range(ALIGNMENT))
@pytest.mark.parametrize("rows", [1, 40_000])
def test_the_first_tensor_is_aligned_and_never_copied(padding, rows):
    array = np.arange(rows, dtype=np.float64)
    tensor = {
        "name": "x",
        "shape": [rows],
        "datatype": "FP64",
        "parameters": {"binary_data_size": array.nbytes},
    }
    head = json.dumps({"inputs": [tensor]}).encode() + b" " * padding
    listener = Listener()
    named = f"Inference-Header-Content-Length: {len(head)}"
    assert listener.feed(post(head + array.tobytes(), named)) is None
    [request] = listener.requests
    _, tensors = decode_request(request.body, str(len(head)))
    np.testing.assert_array_equal(tensors["x"], array)
    assert np.shares_memory(tensors["x"], np.frombuffer(request.body, np.uint8))


def test_a_long_body_is_received_into_its_place():
    listener = Listener()
    body = bytes(range(256)) * 4096
    assert listener.feed(post(body)[:SCRATCH]) is None
    room = listener.reader.room()
    assert len(room) == LONGEST_READ
    assert room.obj is not listener.floor.scratch.obj


def whole(listener, data):
    """Give all at one go, as a socket does that has it; tell where it went."""
    room = listener.reader.room()
    assert len(room) > len(data), "a read that fills its room is followed by one that finds nothing"
    room[: len(data)] = data
    assert listener.reader.take(len(data)) is None
    return room


@pytest.mark.parametrize("padding", range(ALIGNMENT))
@pytest.mark.parametrize("length", [1, 4000, 300_000])
def test_a_request_like_the_last_two_is_received_at_one_go_where_it_stays(padding, length):
    listener, noise = Listener(), np.random.default_rng(7)
    bodies = [noise.bytes(padding + length) for _ in range(5)]
    named = f"Inference-Header-Content-Length: {padding}"
    for body in bodies[:3]:
        assert listener.feed(post(body, named)) is None
    for body in bodies[3:]:
        room = whole(listener, post(body, named))
        last = np.frombuffer(listener.requests[-1].body, np.uint8)
        assert np.shares_memory(last, np.frombuffer(room, np.uint8))
        assert not np.shares_memory(last, np.frombuffer(listener.requests[-2].body, np.uint8))
        assert (last.ctypes.data + padding) % ALIGNMENT == 0
    assert [bytes(request.body) for request in listener.requests] == bodies
    assert listener.floor.buffered_bytes == sum(map(len, bodies))


@settings(max_examples=100, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    lengths=st.lists(st.sampled_from([3, 3, 3, 4000, 4000, 70_000]), min_size=1, max_size=12),
    pieces=st.lists(st.sampled_from([1, 60, 100, 4090, 5000, 80_000]), min_size=1, max_size=6),
)
def test_what_is_expected_and_what_comes_instead_comes_out_whole_in_any_pieces(lengths, pieces):
    listener, noise = Listener(), np.random.default_rng(7)
    bodies = [noise.bytes(length) for length in lengths]
    assert listener.feed(post(b"abc") * 3, [len(post(b"abc"))]) is None
    assert listener.reader._guess.length == 3
    data = b"".join(post(body) for body in bodies)
    assert listener.feed(data, pieces if max(pieces) > 60 else (*pieces, 5000)) is None
    assert [bytes(request.body) for request in listener.requests] == [b"abc"] * 3 + bodies
    assert listener.floor.buffered_bytes == listener.reader.held_bytes == 9 + sum(lengths)


@pytest.mark.parametrize(
    "again", [LIVE, post(b"abcd"), b"nonsense\r\n\r\n"], ids=["get", "longer", "nonsense"]
)
def test_what_was_expected_in_vain_is_expected_no_more(again):
    listener = Listener()
    listener.feed(post(b"abc") * 3, [len(post(b"abc"))])
    room = listener.reader.room()
    assert room.obj is not listener.floor.room
    room[: len(again)] = again
    refusal = listener.reader.take(len(again))
    assert (refusal is not None) == (again[:1] == b"n")
    assert listener.reader.room().obj is listener.floor.room


def test_nothing_is_expected_while_everybody_holds_as_much_as_may_be():
    listener = Listener(Limits(buffered_bytes=100))
    listener.feed(post(b"x" * 30) * 3, [len(post(b"x" * 30))])
    assert listener.reader.room().obj is listener.floor.room
    listener.reader.release(30)
    assert listener.reader.room().obj is not listener.floor.room


def test_closing_is_known_behind_a_long_body():
    listener = Listener()
    assert listener.feed(post(b"x" * 100_000, "Connection: close")) is None
    assert [request.keep_alive for request in listener.requests] == [False]


def test_a_body_over_the_limit_of_all_is_refused_while_it_comes_and_given_back():
    listener = Listener(Limits(body_bytes=4_000_000, buffered_bytes=500_000))
    refusal = listener.feed(post(b"x" * 3_000_000))
    assert refusal.status == 503
    assert 0 < listener.floor.buffered_bytes <= 500_000
    listener.reader.forget()
    assert listener.floor.buffered_bytes == 0


def test_nothing_of_a_client_that_left_waits_for_the_collector_of_garbage():
    """Which comes rarely in a daemon, because it stops every request while it works."""

    def leave(data):
        listener = Listener()
        listener.feed(data)
        listener.reader.forget()
        return weakref.ref(listener.reader)

    gc.disable()
    try:
        assert [leave(data)() for data in (LIVE, post(b"x" * 1000)[:-1], b"nonsense\r\n\r\n", b"")] == [
            None
        ] * 4
    finally:
        gc.enable()


def test_a_body_for_which_there_is_no_memory_is_refused():
    """More than any machine promises, where the limit lets it through."""
    listener = Listener(Limits(body_bytes=1 << 62))
    head = b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1 << 61)
    refusal = listener.feed(head)
    assert (refusal.status, refusal.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("value", ["", "-1", "9" * 30, "x", "٣", "1e3", "123456789x"])
def test_a_header_length_that_is_none_lays_the_body_somewhere(value):
    listener = Listener()
    header = f"Inference-Header-Content-Length: {value}".encode().decode("latin-1")
    data = post(b"abc").replace(b"\r\n\r\n", b"\r\n" + header.encode("latin-1") + b"\r\n\r\n")
    assert listener.feed(data) is None
    assert [bytes(request.body) for request in listener.requests] == [b"abc"]
