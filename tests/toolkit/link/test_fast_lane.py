"""The lane beside paho: what it takes for itself, what it leaves, and how it writes when the network takes little."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from toolkit.link.fast_lane import FastLane
from toolkit.link.limits import MAX_PACKET_BYTES


def packet(first: int, body: bytes) -> bytes:
    size, head = len(body), bytearray([first])
    while True:
        size, byte = size >> 7, size & 0x7F
        head.append(byte | (0x80 if size else 0))
        if not size:
            return bytes(head) + body


def publish(topic: str, payload: bytes, *, first: int = 0x30, properties: bytes | None = b"") -> bytes:
    name = topic.encode()
    extra = b"" if properties is None else bytes([len(properties)]) + properties
    return packet(first, len(name).to_bytes(2, "big") + name + extra + payload)


@dataclass
class Ends:
    """A lane and what stands at the other end of its connection."""

    lane: FastLane
    far: socket.socket
    came: list[tuple[str, bytes, bool]] = field(default_factory=list)

    def take(self, data: bytes, most: int = 1000) -> None:
        self.far.sendall(data)
        self.lane.read()
        self.lane.deliver(most)


@pytest.fixture
def ends() -> Iterator[Ends]:
    near, far = socket.socketpair()
    near.setblocking(False)
    came: list[tuple[str, bytes, bool]] = []
    lane = FastLane(near, lambda topic, payload, retained: came.append((topic, payload, retained)))
    yield Ends(lane, far, came)
    near.close()
    far.close()


def test_qos_0_comes_past_paho_and_all_else_through_it(ends: Ends) -> None:
    acknowledged = publish("t/1", b"\x00\x07sure", first=0x32)
    ends.take(publish("t/0", b"maybe") + acknowledged + publish("t/2", b"", first=0x31) + packet(0xD0, b""))
    assert ends.came == [("t/0", b"maybe", False), ("t/2", b"", True)]
    assert ends.lane.paho_has_work
    assert ends.lane.recv(1) + ends.lane.recv(1000) == acknowledged + packet(0xD0, b"")
    with pytest.raises(BlockingIOError):
        ends.lane.recv(1)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 16_000, 16_384, 70_000, 262_144, 1_048_576])
def test_a_message_of_any_size_arrives_whole_however_it_is_cut(ends: Ends, size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    whole = publish("t", payload[:size], properties=b"\x02\x00\x00\x00\x1e") * 2
    sent = 0
    while sent < len(whole):
        ends.far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sent += ends.far.send(whole[sent : sent + 50_000 if sent else 1])
        ends.lane.read()
        ends.lane.deliver(10)
    while len(ends.came) < 2:
        ends.lane.read()
        ends.lane.deliver(10)
    assert ends.came == [("t", payload[:size], False)] * 2


def test_mqtt_3_has_no_properties(ends: Ends) -> None:
    ends.lane.speak(v5=False)
    ends.take(publish("t", b"\x05hello", properties=None))
    assert ends.came == [("t", b"\x05hello", False)]
    ends.lane.send_later(1, "t", b"x")
    assert ends.lane.write() == [1]
    assert ends.far.recv(100) == publish("t", b"x", properties=None)


def test_what_there_is_no_room_for_waits_unread(ends: Ends) -> None:
    ends.take(publish("t", b"1") + publish("t", b"2") + publish("t", b"3"), most=2)
    assert [payload for _, payload, _ in ends.came] == [b"1", b"2"]
    assert ends.lane.unread
    ends.lane.deliver(1)
    assert [payload for _, payload, _ in ends.came] == [b"1", b"2", b"3"]
    assert not ends.lane.unread


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x30" + b"\xff\xff\xff\x7f", "a packet of 268435460 bytes"),
        (b"\x30" + b"\xff\xff\xff\xff\x01", "not MQTT"),
        (packet(0x30, b"\xff\xff"), "damaged"),
        (packet(0x30, b"\x00\x01t\x7f"), "damaged"),
        (packet(0x30, b""), "damaged"),
    ],
)
def test_what_is_no_message_ends_the_connection(ends: Ends, data: bytes, says: str) -> None:
    ends.take(data)
    assert ends.came == []
    with pytest.raises(OSError, match=says):
        ends.lane.recv(1)


def test_nothing_is_allocated_for_a_packet_that_is_too_large(ends: Ends) -> None:
    ends.take(packet(0x30, b"x" * 10)[:1] + b"\xff\xff\xff\x7f" + bytes(1000))
    assert len(ends.lane._buffer) < 64 * 1024
    assert MAX_PACKET_BYTES < 2 * 1024 * 1024


def test_a_topic_that_is_no_text_is_dropped(ends: Ends) -> None:
    ends.take(packet(0x30, b"\x00\x01\xff\x00x") + publish("t", b"next"))
    assert ends.came == [("t", b"next", False)]


def test_the_end_of_the_connection_is_told_to_paho(ends: Ends) -> None:
    ends.far.close()
    ends.lane.read()
    assert ends.lane.paho_has_work
    assert ends.lane.recv(1) == b""


def test_a_message_is_written_in_pieces_and_nothing_gets_between_them(ends: Ends) -> None:
    payload = bytes(3 * 1024 * 1024)
    ends.lane.send_later(7, "t", payload)
    ends.lane.send_later(8, "t", b"")
    through = ends.lane.write()
    assert through == []
    assert ends.lane.inside_packet, "paho must not write now"
    got = bytearray()
    while ends.lane.wants_write:
        got += ends.far.recv(1 << 20)
        through += ends.lane.write()
    assert through == [7, 8]
    assert not ends.lane.inside_packet
    ends.far.setblocking(False)
    try:
        while True:
            got += ends.far.recv(1 << 20)
    except BlockingIOError:
        pass
    expiry = b"\x02\x00\x00\x00\x1e"
    assert bytes(got) == publish("t", payload, properties=expiry) + publish("t", b"", properties=expiry)


def test_a_message_with_a_letter_is_left_to_paho(ends: Ends) -> None:
    lettered = publish("t", b"question", properties=b"\x08\x00\x06answer")
    damaged = publish("t", b"", properties=b"")[:-1] + b"\x7f"  # properties that end beyond the packet
    ends.take(lettered + publish("t", b"plain"))
    assert ends.came == [("t", b"plain", False)]
    assert ends.lane.recv(1000) == lettered
    ends.take(damaged)
    with pytest.raises(OSError, match="damaged"):
        ends.lane.recv(1)
