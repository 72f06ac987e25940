"""Which requests came in alone: then no other waits that could go to the model with them."""

from __future__ import annotations

import asyncio
import weakref

from edge_runtime.serving.connection import Connection
from edge_runtime.serving.credentials import Credentials
from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import Door, Guard
from edge_runtime.serving.http import Response
from edge_runtime.serving.limits import Limits
from toolkit.wire.device_config import ServingConfig

ASK = b"POST /v2/models/%d/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


class Wire(asyncio.Transport):
    """A transport to nobody."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = []

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def write(self, data):
        self.written.append(bytes(data))

    def writelines(self, parts):
        self.written += map(bytes, parts)


class Place:
    """Connections that share a floor; each request waits until it may be answered."""

    def __init__(self):
        self.floor, self.seen, self.open = Floor(Limits()), {}, asyncio.Event()
        self.bodies = []
        self.guard = Guard(Credentials(ServingConfig()), Door.LOOPBACK)

    async def respond(self, request):
        self.seen[request.path.split("/")[3]] = request.alone
        self.bodies.append(weakref.ref(request.body))
        await self.open.wait()
        return Response(200, (b"{}",))

    def connect(self):
        connection = Connection(self.respond, self.floor, self.guard)
        connection.wire = Wire()
        connection.connection_made(connection.wire)
        return connection


def send(connection, *numbers):
    data = b"".join(ASK % number for number in numbers)
    room = connection.get_buffer(-1)
    room[: len(data)] = data
    connection.buffer_updated(len(data))


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


def test_the_last_of_those_that_came_in_one_turn_of_the_loop_is_alone():
    async def main():
        place = Place()
        first, second, third = (place.connect() for _ in range(3))
        send(first, 1)
        await turn()
        assert place.seen == {"1": True}
        send(second, 2)
        send(third, 3)
        await turn()
        assert place.seen == {"1": True, "2": False, "3": True}
        assert place.floor.coming == 0

    asyncio.run(main())


def test_what_more_of_the_same_client_waits_for_is_not_alone():
    async def main():
        place = Place()
        client = place.connect()
        place.open.set()
        send(client, 1, 2, 3)
        await turn()
        assert place.seen == {"1": False, "2": False, "3": True}
        assert len(client.wire.written) == 3

    asyncio.run(main())


def test_a_client_that_asks_nothing_more_holds_no_body():
    async def main():
        place = Place()
        client = place.connect()
        send(client, 1, 2)
        await turn()
        assert len(place.bodies) == 1
        assert place.bodies[0]() is not None
        place.open.set()
        await turn()
        assert [body() for body in place.bodies] == [None, None]
        assert place.floor.buffered_bytes == 0

    asyncio.run(main())


def test_a_client_that_leaves_before_its_turn_is_waited_for_no_longer():
    async def main():
        place = Place()
        leaving, staying, began = place.connect(), place.connect(), place.connect()
        send(began, 0)
        await turn()
        send(leaving, 1)
        leaving.connection_lost(None)
        began.connection_lost(None)
        send(staying, 2)
        await turn()
        assert place.seen == {"0": True, "2": True}
        assert place.floor.coming == 0

    asyncio.run(main())
