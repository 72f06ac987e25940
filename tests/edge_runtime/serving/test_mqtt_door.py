"""The door of MQTT: what it takes, whom it answers, and that nobody makes it speak on another's topics."""

from __future__ import annotations

import asyncio
import json
import math
import time

import numpy as np
import pytest

from edge_runtime.serving.http import Request, Response, json_response
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.mqtt_door import MOST_REFUSALS, DoorLimits, MqttDoor
from edge_runtime.serving.routes import Routes
from tests.contracts.engine import HeldEngine, feed
from tests.edge_runtime.serving.conftest import request_of
from toolkit.errors import IntegrityError
from toolkit.link.link import Arrived, Letter
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.topics import Topics

TOPICS = Topics("north")
DEVICE, CLIENT = "us-001", "station-1"
ASKED, OWN = TOPICS.question(DEVICE, "m", CLIENT), TOPICS.answer(CLIENT, DEVICE)
QUESTION = json.dumps(request_of(**feed(1))).encode()


class Post:
    """What a door publishes."""

    def __init__(self, respond, limits=None):
        self.sent: list[tuple[str, bytes, Letter]] = []
        self.held = asyncio.Event()
        self.held.set()
        self.door = MqttDoor(TOPICS, DEVICE, respond, self.publish, limits)

    async def publish(self, topic, payload, letter):
        await self.held.wait()
        self.sent.append((topic, payload, letter))

    async def ask(self, payload=QUESTION, topic=ASKED, letter=None, *, retained=False):
        await self.door.take(Arrived(topic, payload, retained, letter))


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


def with_model(test, limits=None):
    async def main():
        table = ModelTable([ModelConfig(name="m")])
        engine = HeldEngine()
        await table.swap("m", "1", engine)
        try:
            await test(Post(Routes(table).respond, limits), engine)
        finally:
            engine.gate.set()
            await table.close()

    run(main())


async def until(condition):
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


async def never_asked(request: Request) -> Response:
    raise AssertionError(f"{request} should have been refused")


def words(letter: Letter) -> dict[str, str]:
    return dict(letter.words)


def test_a_question_is_answered_where_it_says_with_its_correlation():
    async def test(post, _):
        await post.ask(letter=Letter(f"{OWN}/window-3", b"\0\xff", 20))
        ((topic, payload, letter),) = post.sent
        assert (topic, letter.correlation, words(letter)["status"]) == (f"{OWN}/window-3", b"\0\xff", "200")
        assert 0 < letter.expiry_seconds <= 20
        outputs = {each["name"]: each["data"] for each in json.loads(payload)["outputs"]}
        assert outputs["y"] == (feed(1)["x"] * 2).ravel().tolist()

    with_model(test)


def test_the_binary_form_needs_the_length_of_its_head():
    async def test(post, _):
        tensors = feed(1)
        head = json.dumps(
            {
                "parameters": {"binary_data_output": True},
                "inputs": [
                    {
                        "name": name,
                        "shape": list(array.shape),
                        "datatype": {"x": "FP32", "k": "INT64"}[name],
                        "parameters": {"binary_data_size": array.nbytes},
                    }
                    for name, array in tensors.items()
                ],
            }
        ).encode()
        body = head + b"".join(array.tobytes() for array in tensors.values())
        length = ("inference-header-content-length", str(len(head)))
        await post.ask(body, letter=Letter(words=(length, ("transfer-encoding", "chunked"))))
        await post.ask(body)
        await post.ask(body, letter=Letter(words=(length, length)))
        (_, payload, letter), *refused = post.sent
        size = int(words(letter)["Inference-Header-Content-Length"])
        assert json.loads(payload[:size])["model_version"] == "1"
        np.testing.assert_array_equal(np.frombuffer(payload[size:], np.float32, 4), tensors["x"].ravel() * 2)
        assert [words(each)["status"] for _, _, each in refused] == ["400", "400"]

    with_model(test)


def test_without_letters_the_answer_goes_to_the_clients_topic_with_its_reference():
    async def test(post, _):
        await post.ask()
        await post.ask(topic=f"{ASKED}/Nr.7")
        await post.ask(b"{}", topic=f"{ASKED}/8")
        assert [topic for topic, _, _ in post.sent] == [OWN, f"{OWN}/Nr.7", f"{OWN}/8"]
        refusal = json.loads(post.sent[2][1])
        assert refusal["status"] == 400
        assert "inputs" in refusal["error"]

    with_model(test)


FOREIGN = [
    "tiers/1/north/d/us-002/desired",
    TOPICS.answer("station-2", DEVICE),
    TOPICS.answer(CLIENT, "us-002"),
    f"{OWN}2",
    f"{OWN}-other/x",
    f"{OWN}23",
    f"{OWN}/",
    f"{OWN}/a//b",
    f"{OWN}/+",
    f"{OWN}/#",
    f"{OWN}/\0",
    f"{OWN}/\x1f",
    f"{OWN}/" + "a" * 300,
    f"{OWN}/../../../d/us-002/desired"[: len(OWN)] + "x",
    "$SYS/broker",
    "#",
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_nobody_is_answered_on_the_topic_of_another(foreign):
    async def main():
        post = Post(never_asked)
        await post.ask(letter=Letter(foreign, b"c", 60))
        ((topic, payload, letter),) = post.sent
        assert (topic, letter.correlation, json.loads(payload)["status"]) == (OWN, b"c", 403)

    run(main())


@pytest.mark.parametrize(
    ("topic", "payload", "retained"),
    [
        (ASKED, QUESTION, True),
        (ASKED, b"", False),
        (TOPICS.question("us-002", "m", CLIENT), QUESTION, False),
        (f"{ASKED}/7/8", QUESTION, False),
        (f"{ASKED}/", QUESTION, False),
        (f"{ASKED}/ä", QUESTION, False),
        (f"{TOPICS.root}/i/{DEVICE}/m", QUESTION, False),
        (f"{TOPICS.root}/i/{DEVICE}/m/tiers:operator", QUESTION, False),
        (f"tiers/1/south/i/{DEVICE}/m/{CLIENT}", QUESTION, False),
    ],
)
def test_what_is_no_question_is_not_answered(topic, payload, retained):
    async def main():
        post = Post(never_asked)
        await post.ask(payload, topic, retained=retained)
        assert (post.sent, post.door.ignored) == ([], 1)

    run(main())


def test_topics_are_read_as_they_are_written():
    assert TOPICS.question_of(ASKED).client == CLIENT
    assert TOPICS.question_of(f"{ASKED}/7").reference == "7"
    with pytest.raises(IntegrityError):
        TOPICS.question_of(OWN)


def test_a_large_question_is_refused_before_it_is_read_and_a_large_answer_is_not_sent():
    async def main():
        async def long_answer(_: Request) -> Response:
            return json_response(200, {"much": "x" * 2000})

        post = Post(long_answer, DoorLimits(payload_bytes=1000))
        await post.ask(b"x" * 1001)
        await post.ask(b"x" * 1000)
        assert [json.loads(payload)["status"] for _, payload, _ in post.sent] == [413, 507]

    run(main())


def test_one_client_takes_no_more_than_its_share_and_is_told_when_to_come_again():
    async def test(post, engine):
        engine.gate.clear()
        asking = [asyncio.ensure_future(post.ask()) for _ in range(3)]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(post.ask(topic=TOPICS.question(DEVICE, "m", "station-2")))
        await until(lambda: post.sent)
        ((_, payload, letter),) = post.sent
        refusal = json.loads(payload)
        assert (refusal["status"], refusal["retry_after"], words(letter)["Retry-After"]) == (429, 1, "1")
        engine.gate.set()
        await asyncio.gather(*asking, other)
        assert sorted(words(each)["status"] for _, _, each in post.sent) == ["200", "200", "200", "429"]

    with_model(test, DoorLimits(of_one_client=2, per_second=0))


def test_all_together_take_no_more_than_there_is_room_and_refusals_do_not_pile_up():
    async def test(post, engine):
        engine.gate.clear()
        first = asyncio.ensure_future(post.ask())
        await asyncio.sleep(0)
        post.held.clear()
        flood = [
            asyncio.ensure_future(post.ask(topic=TOPICS.question(DEVICE, "m", f"station-{number}")))
            for number in range(MOST_REFUSALS + 50)
        ]
        await asyncio.sleep(0)
        assert post.door.ignored == 50
        post.held.set()
        engine.gate.set()
        await asyncio.gather(first, *flood)
        assert [words(letter)["status"] for _, _, letter in post.sent].count("429") == MOST_REFUSALS

    with_model(test, DoorLimits(in_flight=1))


def test_the_expiry_is_the_deadline():
    async def main():
        seen: list[float] = []

        async def note(request: Request) -> Response:
            seen.append(request.expires - time.perf_counter())
            assert getattr(request, "user", None) is None, "nobody on MQTT names memory of this machine"
            return json_response(200, {})

        post = Post(note)
        await post.ask(letter=Letter(expiry_seconds=60, words=(("a", "b"),)))
        await post.ask()
        await post.ask(letter=Letter(expiry_seconds=2**32 - 1, words=(("a", "b"),)))
        assert 0 < seen[0] <= 60
        assert seen[1] == math.inf
        assert seen[2] <= 24 * 3600
        assert [letter.expiry_seconds for _, _, letter in post.sent][1] == 30

    run(main())


def test_what_is_over_its_time_gets_no_turn_and_no_answer():
    async def test(post, engine):
        engine.gate.clear()
        first = asyncio.ensure_future(post.ask())
        await until(lambda: engine.calls)
        await post.ask(letter=Letter(expiry_seconds=1, words=(("a", "b"),)))
        engine.gate.set()
        await first
        assert len(engine.calls) == 1
        assert [words(letter)["status"] for _, _, letter in post.sent] == ["200"]

    with_model(test)
