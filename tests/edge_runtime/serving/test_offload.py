"""Questions that another tiers-edge answers: over TLS with a token, and what happens when it does not."""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
import time

import msgspec
import numpy as np
import pytest

from edge_runtime.serving.ask import Ask, Priority
from edge_runtime.serving.desk import Desk
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.offload import Offload, offloads_of
from edge_runtime.serving.question import decode_answer, encode_question
from edge_runtime.serving.refusals import DeadlineError, OffloadError
from edge_runtime.serving.tensors import decode_request
from tests.cluster.certificates import Authority
from tests.contracts.engine import HeldEngine, feed
from toolkit.errors import IntegrityError
from toolkit.wire.device_config import ModelConfig, ServingConfig
from toolkit.wire.offload import OffloadConfig

M = ModelConfig(name="m")
TOKEN = "f" * 32


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


def ask(rows=1, **how):
    return Ask("m", feed(rows), **how)


@pytest.fixture
def far(serve):
    """A server of the model m without TLS, and its engine."""
    serving, engine = serve(M), HeldEngine()
    serving.swap("m", "7", engine)
    serving.engine = engine
    yield serving
    engine.gate.set()


def to(serving, now=time.monotonic, **more):
    config = {"url": f"http://127.0.0.1:{serving.port}", "timeout_seconds": 60, **more}
    return Offload(OffloadConfig(**config), now=now)


# ------------------------------------------------------------ answers
def test_another_server_answers_and_its_connection_is_used_again(far):
    async def main():
        offload = to(far)
        for rows in (1, 3, 8):
            answer = await offload.answer(ask(rows))
            assert (answer.model, answer.version) == ("m", "7")
            np.testing.assert_array_equal(answer.outputs["y"], feed(rows)["x"] * 2)
            assert set(answer.outputs) == {"y", "z"}
            assert len(offload._server._idle) == 1
        assert list((await offload.answer(ask(wanted=("z",)))).outputs) == ["z"]
        assert (await offload.answer(ask(version="7"))).version == "7"
        with pytest.raises(OffloadError, match="not as '8'"):
            await offload.answer(ask(version="8"))
        assert len(far.server._floor.connections) == 1
        assert offload.outcomes == {"ok": 5, "refused": 1}
        await offload.close()

    run(main())


def test_with_tls_and_a_token_and_not_without(serve, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.server("server")
    (tmp_path / "token").write_text(f"{TOKEN}\nand-another-one-that-is-long-enough\n")
    (tmp_path / "wrong").write_text("e" * 32)
    (tmp_path / "other").mkdir()
    config = ServingConfig(
        port=0, certificate_file=str(certificate), key_file=str(key), token_file=str(tmp_path / "token")
    )
    serving = serve(M, config=config)
    serving.swap("m", "7", HeldEngine())
    good = {
        "url": f"https://localhost:{serving.port}",
        "ca_file": str(authority.ca),
        "token_file": str(tmp_path / "token"),
    }

    async def main():
        offload = to(serving, **good)
        assert (await offload.answer(ask())).version == "7"
        await offload.close()
        foreign = Authority(tmp_path / "other").ca
        for bad, what in (
            ({"token_file": str(tmp_path / "wrong")}, "401"),
            ({"token_file": ""}, "401"),
            ({"token_file": str(tmp_path / "missing")}, "No such file"),
            ({"ca_file": str(foreign)}, "certificate"),
        ):
            offload = to(serving, **{**good, **bad})
            with pytest.raises(OffloadError, match=what) as refusal:
                await offload.answer(ask())
            assert TOKEN not in refusal.value.message

    run(main())


def test_a_connection_that_the_other_side_has_closed_is_replaced(far):
    async def main():
        offload = to(far)
        await offload.answer(ask())
        for connection in tuple(far.server._floor.connections):
            far.loop.call_soon_threadsafe(connection.abort)
        for _ in range(3):
            assert (await offload.answer(ask())).version == "7"
        await offload.close()

    run(main())


# ------------------------------------------------------------ no answers
def test_a_server_that_is_not_there_is_left_alone_after_some_tries():
    async def main():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
            now = 0.0
            config = OffloadConfig(url=f"http://127.0.0.1:{taken.getsockname()[1]}", timeout_seconds=60)
            offload = Offload(config, now=lambda: now)
            for _ in range(5):
                with pytest.raises(OffloadError):
                    await offload.answer(ask())
            assert offload.outcomes == {"failed": 3, "open": 2}
            now = 1.0
            with pytest.raises(OffloadError):
                await offload.answer(ask())
            assert offload.outcomes == {"failed": 4, "open": 2}

    run(main())


def test_one_that_does_not_answer_in_time_is_a_failure_and_an_own_deadline_is_not(far):
    async def main():
        far.engine.gate.clear()
        slow = to(far, timeout_seconds=0.05)
        with pytest.raises(OffloadError, match="no answer within"):
            await asyncio.wait_for(slow.answer(ask()), 15)
        patient = to(far, timeout_seconds=60)
        for _ in range(4):
            with pytest.raises(DeadlineError):
                await patient.answer(ask(deadline=time.perf_counter() + 0.02))
        far.engine.gate.set()
        assert (await patient.answer(ask())).version == "7"
        assert patient.outcomes == {"timeout": 4, "ok": 1}
        await patient.close()

    run(main())


def test_a_busy_server_is_given_the_time_that_it_asks_for(serve):
    serving, engine = serve(ModelConfig(name="m", queue=1, max_batch=1)), HeldEngine()
    serving.swap("m", "7", engine)
    engine.gate.clear()

    async def main():
        now = 0.0
        offload = Offload(
            OffloadConfig(url=f"http://127.0.0.1:{serving.port}", timeout_seconds=60), now=lambda: now
        )
        first = asyncio.create_task(offload.answer(ask()))
        await asyncio.to_thread(engine.entered.acquire)
        second = asyncio.create_task(offload.answer(ask()))
        while serving.table.find("m").admission.waiting != 1:  # noqa: ASYNC110 -- of another thread's loop
            await asyncio.sleep(0.001)
        with pytest.raises(OffloadError, match="429"):
            await offload.answer(ask())
        with pytest.raises(OffloadError, match="left alone"):
            await offload.answer(ask())
        engine.gate.set()
        await asyncio.gather(first, second)
        await offload.close()
        assert offload.outcomes == {"ok": 2, "busy": 1, "open": 1}

    run(main())


def test_what_is_wrong_with_a_question_does_not_speak_against_the_server(far):
    async def main():
        offload = to(far)
        for _ in range(5):
            with pytest.raises(OffloadError, match="404"):
                await offload.answer(Ask("other", feed(1)))
            with pytest.raises(OffloadError, match="400"):
                await offload.answer(Ask("m", {"x": feed(1)["x"]}))
        assert (await offload.answer(ask())).version == "7"
        assert offload.outcomes == {"refused": 10, "ok": 1}
        await offload.close()

    run(main())


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", "how long its JSON is"),
        (
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
            "too long a head|no HTTP",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302"),
    ],
)
def test_something_else_that_answers_is_a_failure(said, what):
    async def main():
        async def speak(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            await writer.drain()
            writer.write_eof()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        offload = Offload(OffloadConfig(url=f"http://127.0.0.1:{port}", timeout_seconds=60))
        with pytest.raises(OffloadError, match=what):
            await offload.answer(ask())
        assert offload.outcomes == {"failed": 1}
        await offload.close()
        server.close()

    run(main())


# ------------------------------------------------------------ questions on the wire
def test_a_question_goes_out_as_it_came_with_what_is_left_of_its_time():
    parameters = {"binary_data_output": False, "timeout": 5, "tiers_exact": True, "study": "x", "priority": 3}
    deadline = time.perf_counter() + 100
    question = ask(2, priority=Priority.EMERGENCY, deadline=deadline, parameters=parameters, wanted=("y",))
    head, blobs = encode_question(question)
    request, inputs = decode_request(b"".join([head, *blobs]), str(len(head)))
    assert {name: array.tolist() for name, array in inputs.items()} == {
        name: array.tolist() for name, array in feed(2).items()
    }
    assert 90e6 < request.parameters.pop("timeout") <= 100e6
    assert request.parameters == {"binary_data_output": True, "study": "x", "priority": 1}
    assert [each.name for each in request.outputs] == ["y"]
    assert "timeout" not in msgspec.json.decode(encode_question(ask())[0])["parameters"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"datatype": "FP31"}, "type or shape"),
        ({"shape": [-1]}, "type or shape"),
        ({"shape": [1] * 20}, "type or shape"),
        ({"shape": [2]}, "as long as"),
        ({"parameters": {}}, "as long as"),
        ({"name": "other"}, "outputs that were asked for"),
    ],
)
def test_an_answer_is_checked_before_it_is_used(change, what):
    tensor = {"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}, **change}
    head = msgspec.json.encode({"model_name": "m", "model_version": "1", "outputs": [tensor]})
    with pytest.raises(IntegrityError, match=what):
        decode_answer(head + bytes(4), str(len(head)), ["y"])
    with pytest.raises(IntegrityError):
        decode_answer(head, "99999", ["y"])
    with pytest.raises(IntegrityError):
        decode_answer(b"[]", "2", [])


# ------------------------------------------------------------ together
def test_two_machines_that_offload_to_each_other_do_not_send_a_question_in_circles(serve):
    class Late:
        """Who answers is known when both listen."""

        def __init__(self):
            self.inner, self.asked = None, 0

        async def answer(self, ask):
            self.asked += 1
            return await self.inner.answer(ask)

    here, there = Late(), Late()
    one, two = serve(M, elsewhere={"m": here}), serve(M, elsewhere={"m": there})
    moments = itertools.count(0, 1000)  # no breaker stays open for so long
    here.inner, there.inner = to(two, now=lambda: next(moments)), to(one)
    body = {
        "inputs": [
            {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]},
            {"name": "k", "shape": [1], "datatype": "INT64", "data": [0]},
        ]
    }
    status, _, document = one.ask("POST", "/v2/models/m/infer", body)
    assert (status, here.asked, there.asked) == (503, 1, 0)
    assert "no version loaded" in document["error"]
    two.swap("m", "7", HeldEngine())
    status, headers, document = one.ask("POST", "/v2/models/m/infer", body)
    assert (status, document["outputs"][0]["data"], there.asked) == (200, [2, 4, 6, 8], 0)
    assert headers["Tiers-Served-By"] == "offload"
    one.call(here.inner.close())


def test_models_of_a_configuration_have_an_offload_where_it_says_so():
    models = [M, ModelConfig(name="n", offload=OffloadConfig(url="https://hot.example:8080"))]
    offloads = offloads_of(models)
    assert list(offloads) == ["n"]
    desk = Desk(models, ModelTable(models), elsewhere=offloads)
    assert desk._posts["n"].elsewhere is offloads["n"]
    assert math.isinf(ask().deadline)
