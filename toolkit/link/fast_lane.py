"""The way of bulk messages past paho: QoS 0 publishes are read and written here, all else stays paho's.

`paho_link` gives paho a `FastLane` for a socket. What comes is read in large pieces; whole PUBLISH packets of QoS 0 go
straight to the link, every other packet waits in `recv` for paho. What the link sends at QoS 0 is written from where it
lies, without a copy. paho alone reads a packet byte by byte and builds and copies it three times over
(client.py, `_packet_read` and `_packet_write`), which is most of what a megabyte costs.

Packets are those of MQTT 5.0 (3.3, and 1.5.5 for lengths) and 3.1.1 (3.3). Nothing that arrives is trusted: a packet
above `MAX_PACKET_BYTES` ends the connection before anything is allocated for it. For the network thread alone, but for
`send`, which any thread may call.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from toolkit.link.limits import MAX_PACKET_BYTES, STALE_SECONDS

if TYPE_CHECKING:
    import socket

_FIRST_BUFFER_BYTES: Final = 16 * 1024
_MOST_BUFFER_BYTES: Final = 2 * MAX_PACKET_BYTES
_PUBLISH: Final = 0x30
_PUBLISH_QOS_0_MASK: Final = 0xF6
"""Of a packet's first byte: its type and its QoS."""
_RETAIN: Final = 0x01
_MORE: Final = 0x80
_LONGEST_LENGTH: Final = 4
_PARTS_AT_ONCE: Final = 16
_STALE: Final = bytes([5, 2]) + STALE_SECONDS.to_bytes(4, "big")
"""Properties of what we send with MQTT 5: five bytes, the message expiry interval (3.3.2.3.3)."""
_EXPIRY_BYTES: Final = 5

Take = Callable[[str, bytes, bool], None]
"""Called with topic, payload and whether the message was retained."""


class FastLane:
    """What paho takes for its socket; beside it the lane of QoS 0 messages."""

    def __init__(self, sock: socket.socket, take: Take) -> None:
        """Stand before a connected socket. `speak` must be told before anything is sent here."""
        self._sock = sock
        self._take = take
        self._v5 = True
        self._buffer = memoryview(bytearray(_FIRST_BUFFER_BYTES))
        self._start = self._end = 0
        self._grow_to = 0
        self._for_paho = bytearray()
        self._closed = False
        self._error: OSError | None = None
        self._out: deque[tuple[int, memoryview]] = deque()
        """(number, or -1 for a part with more of its message behind it; what is left of the part)"""
        self._inside = False

    def speak(self, *, v5: bool) -> None:
        """Say which MQTT it is."""
        self._v5 = v5

    # ------------------------------------------------------------ what paho calls
    def recv(self, size: int) -> bytes:
        """Give paho bytes of packets that are its own."""
        if self._for_paho:
            data = bytes(self._for_paho[:size])
            del self._for_paho[:size]
            return data
        if self._error is not None:
            raise self._error
        if self._closed:
            return b""
        raise BlockingIOError

    def send(self, data: bytes) -> int:
        """Write a packet of paho's, or the beginning of it."""
        return self._sock.send(data)

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  # paho's way to call it
        """Pass it on."""
        self._sock.setblocking(flag)

    def pending(self) -> int:
        """Give the bytes that TLS has unpacked and nobody has read."""
        return self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0

    def shutdown(self, how: int) -> None:
        """Pass it on."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    # ------------------------------------------------------------ what comes
    @property
    def paho_has_work(self) -> bool:
        """Whether `recv` has something to give, an end of the connection too."""
        return bool(self._for_paho) or self._closed or self._error is not None

    @property
    def unread(self) -> bool:
        """Whether a whole packet waits here that there was no room for."""
        size = self._size_of_next()
        return 0 < size <= self._end - self._start

    def read(self) -> None:
        """Read once what the network has, as much as the buffer takes."""
        self._make_room()
        try:
            count = self._sock.recv_into(self._buffer[self._end :])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._error = error
            return
        self._closed = count == 0
        self._end += count
        if self._end == len(self._buffer):
            self._grow_to = min(2 * len(self._buffer), _MOST_BUFFER_BYTES)

    def deliver(self, most: int) -> None:
        """Hand on up to `most` packets that are whole."""
        while most > 0:
            size = self._size_of_next()
            if size > MAX_PACKET_BYTES or size < 0:
                self._error = OSError(
                    f"the broker sends a packet of {size} bytes; at most {MAX_PACKET_BYTES} are taken"
                    if size > 0
                    else "the broker sends what is not MQTT"
                )
                self._start = self._end
                return
            if not size or size > self._end - self._start:
                self._grow_to = max(self._grow_to, 2 * size if size > len(self._buffer) else 0)
                return
            packet = self._buffer[self._start : self._start + size]
            self._start += size
            most -= 1
            if packet[0] & _PUBLISH_QOS_0_MASK != _PUBLISH or not self._publish(packet):
                self._for_paho += packet

    def _size_of_next(self) -> int:
        """Give the bytes of the next packet; 0 if its header has not come, -1 if it has no length."""
        view, at = self._buffer, self._start + 1
        size = shift = 0
        while at < self._end:
            byte = view[at]
            size |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if not byte & _MORE:
                return size + at - self._start
            if shift >= 7 * _LONGEST_LENGTH:
                return -1
        return 0

    def _publish(self, packet: memoryview) -> bool:
        """Hand a message on; False leaves one to paho that has more properties than the expiry of ours."""
        at = 2
        while packet[at - 1] & _MORE:
            at += 1
        length = int.from_bytes(packet[at : at + 2], "big")
        topic, at = packet[at + 2 : at + 2 + length], at + 2 + length
        if self._v5 and at < len(packet):
            size = shift = 0
            while at < len(packet):
                byte, at = packet[at], at + 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if not byte & _MORE:
                    break
            if size > _EXPIRY_BYTES and at + size <= len(packet):
                return False
            at += size
        if at > len(packet):
            self._error = OSError("the broker sends a damaged message")
            return True
        try:
            name = str(topic, "utf-8")
        except UnicodeDecodeError:
            return True  # no topic of ours; whoever sent it breaks MQTT's own rules
        self._take(name, bytes(packet[at:]), bool(packet[0] & _RETAIN))
        return True

    def _make_room(self) -> None:
        """Begin at the front again where that costs little, and grow when what comes is large."""
        left = self._end - self._start
        if self._grow_to > len(self._buffer):
            grown = memoryview(bytearray(self._grow_to))
            grown[:left] = self._buffer[self._start : self._end]
            self._buffer = grown
        elif self._start and (not left or len(self._buffer) - self._end < len(self._buffer) // 2):
            self._buffer[:left] = bytes(self._buffer[self._start : self._end])
        elif self._end < len(self._buffer):
            return
        self._start, self._end, self._grow_to = 0, left, 0

    # ------------------------------------------------------------ what goes
    @property
    def wants_write(self) -> bool:
        """Whether messages wait to be written."""
        return bool(self._out)

    @property
    def inside_packet(self) -> bool:
        """Whether a packet is half written: nothing of paho's may go out before its end."""
        return self._inside

    def send_later(self, number: int, topic: str, payload: bytes) -> None:
        """Queue a message of QoS 0; `write` reports `number` when it is written."""
        name = topic.encode()
        properties = _STALE if self._v5 else b""
        head = bytearray([_PUBLISH])
        size = 2 + len(name) + len(properties) + len(payload)
        while True:
            size, byte = size >> 7, size & 0x7F
            head.append(byte | (_MORE if size else 0))
            if not size:
                break
        head += len(name).to_bytes(2, "big") + name + properties
        if payload:
            # One call for both: the network thread must not see a message without its end.
            self._out.extend(((-1, memoryview(head)), (number, memoryview(payload))))
        else:
            self._out.append((number, memoryview(head)))

    def write(self) -> list[int]:
        """Write what the network takes; give the numbers of the messages that are through.

        Raises:
            OSError: the connection is gone.
        """
        through: list[int] = []
        while self._out:
            try:
                count = self._send_parts()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            while count:
                number, part = self._out[0]
                if count < len(part):
                    self._out[0] = (number, part[count:])
                    self._inside = True
                    return through
                count -= len(part)
                self._out.popleft()
                self._inside = number < 0
                if number >= 0:
                    through.append(number)
        return through

    def _send_parts(self) -> int:
        if isinstance(self._sock, ssl.SSLSocket):
            return self._sock.send(self._out[0][1])
        parts = [self._out[at][1] for at in range(min(len(self._out), _PARTS_AT_ONCE))]
        return self._sock.sendmsg(parts)
