from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading

import pytest

from edge_runtime.serving.loop import run
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.server import Server
from tests.contracts.engine import HeldEngine, feed
from tests.edge_runtime.serving.conftest import request_of
from toolkit.errors import TiersError
from toolkit.wire.device_config import ModelConfig, ServingConfig

INFER = "/v2/models/m/infer"


class Client(threading.Thread):
    """One request in a thread."""

    def __init__(self, serving, body, path=INFER):
        super().__init__()
        self.serving, self.body, self.path = serving, body, path
        self.status, self.headers, self.document = 0, {}, {}
        self.start()

    def run(self):
        with contextlib.suppress(http.client.RemoteDisconnected):
            self.status, self.headers, self.document = self.serving.ask("POST", self.path, self.body)


@pytest.fixture
def held(serve):
    """A server whose only engine stands still inside its first request."""
    serving, engine = serve(ModelConfig(name="m", queue=2, max_batch=8)), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    clients = [Client(serving, request_of(**feed(1)))]
    assert engine.entered.acquire(timeout=60)
    yield serving, engine, clients
    engine.gate.set()
    for client in clients:
        client.join(60)


def test_an_overload_is_refused_at_once_and_counted(held, wait_until):
    serving, engine, clients = held
    clients += [Client(serving, request_of(**feed(1))) for _ in range(2)]
    wait_until(lambda: serving.table.find("m").admission.waiting == 2, "both wait")
    status, headers, document = serving.ask("POST", INFER, request_of(**feed(1)))
    assert (status, headers["Retry-After"]) == (429, "1")
    assert "2 requests are waiting" in document["error"]
    samples = serving.scrape()
    assert samples['edge_inference_requests_total{model="m",outcome="shed",version="1"}'] == 1
    assert samples['edge_inference_pending_requests{model="m",version="1"}'] == 2
    engine.gate.set()
    for client in clients:
        client.join(60)
    assert [client.status for client in clients] == [200] * 3
    assert engine.rows == [1, 2]
    samples = serving.scrape()
    labels = 'model="m",version="1"'
    assert samples['edge_inference_requests_total{model="m",outcome="ok",version="1"}'] == 3
    assert samples[f'edge_inference_batch_size_bucket{{le="1.0",{labels}}}'] == 1
    assert samples[f'edge_inference_batch_size_bucket{{le="2.0",{labels}}}'] == 2
    assert samples[f"edge_inference_batch_size_sum{{{labels}}}"] == 3
    assert samples[f"edge_inference_queue_seconds_count{{{labels}}}"] == 3
    assert samples[f"edge_inference_compute_seconds_count{{{labels}}}"] == 2
    assert samples[f"edge_inference_latency_seconds_count{{{labels}}}"] == 3
    assert samples['edge_model_ready{model="m"}'] == 1
    about = 'engine="onnxruntime",engine_version="a double",model="m",plan="",reason="",version="1"'
    assert samples[f"edge_engine_info{{{about}}}"] == 1
    assert samples['edge_inference_batches_total{model="m",reason="idle",version="1"}'] == 1
    assert samples['edge_inference_batches_total{model="m",reason="gathered",version="1"}'] == 1
    assert samples['edge_inference_batches_total{model="m",reason="full",version="1"}'] == 0
    assert samples['edge_inference_shed_total{model="m",priority="normal",reason="full",version="1"}'] == 1
    assert (
        samples['edge_inference_shed_total{model="m",priority="batch",reason="displaced",version="1"}'] == 0
    )


def test_a_time_out_of_the_request_is_a_gateway_timeout(held):
    serving, engine, _ = held
    status, _, document = serving.ask(
        "POST", INFER, {**request_of(**feed(1)), "parameters": {"timeout": 10_000}}
    )
    assert status == 504
    assert "time-out" in document["error"]
    assert not engine.gate.is_set()
    assert serving.scrape()['edge_inference_requests_total{model="m",outcome="timeout",version="1"}'] == 1


def test_stopping_answers_what_has_come_in_and_takes_no_more(held, wait_until):
    serving, engine, clients = held
    port = serving.port
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    idle.request("GET", "/v2/health/live")
    idle.getresponse().read()
    half = serving.connect()
    body = json.dumps(request_of(**feed(1))).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    half.sendall(head + body[:10])
    wait_until(lambda: serving.server._floor.buffered_bytes == len(body) + 10, "one body and a part of one")
    stop = asyncio.run_coroutine_threadsafe(serving.server.stop(grace_seconds=60), serving.loop)
    assert idle.sock.recv(1) == b""  # an idle connection is closed at once
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)
    half.sendall(body[10:])
    engine.gate.set()
    assert half.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    half.close()
    stop.result(60)
    clients[0].join(60)
    assert (clients[0].status, clients[0].headers["Connection"]) == (200, "close")


def test_stopping_has_an_end_when_an_engine_has_none(held):
    serving, engine, clients = held
    serving.call(serving.server.stop(grace_seconds=0.05))
    clients[0].join(60)
    assert clients[0].status == 0  # cut off without an answer
    assert not serving.server._floor.connections
    assert not engine.gate.is_set()


def test_stopping_twice_is_harmless(serve):
    serving = serve()
    serving.call(serving.server.stop())
    serving.call(serving.server.stop())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost"])
def test_loopback_is_served(host):
    async def main():
        server = Server(ServingConfig(host=host, port=0), ModelTable())
        assert server.port == 0
        await server.start()
        _, writer = await asyncio.open_connection(host, server.port)
        writer.close()
        await server.stop()

    asyncio.run(main())


def test_a_port_that_is_taken_is_named_with_the_cure():
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(TiersError, match=f"cannot serve on 127.0.0.1:{port}") as caught:
                await Server(ServingConfig(port=port), ModelTable()).start()
            assert "serving.port" in caught.value.hint

    asyncio.run(main())


def test_the_daemons_loop_is_uvloop_where_it_is():
    async def main():
        return type(asyncio.get_running_loop()).__module__

    assert run(main()) == "uvloop"
