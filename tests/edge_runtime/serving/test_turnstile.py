"""How much one client may take: by a clock of ours, and through a real server."""

from __future__ import annotations

import threading

import pytest

from edge_runtime.serving.turnstile import MOST_CLIENTS, Turnstile
from tests.contracts.engine import HeldEngine, feed
from tests.edge_runtime.serving.conftest import request_of
from toolkit.wire.device_config import ModelConfig, ServingConfig

INFER = "/v2/models/m/infer"
TOKENS = ("a" * 32, "b" * 32)


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self):
        return self.now


def test_without_limits_everybody_passes():
    turnstile = Turnstile(0, 0.0)
    assert not turnstile.limits
    assert not any(turnstile.enter("a") for _ in range(1000))


def test_a_rate_gives_a_seconds_worth_at_once_and_then_as_time_goes():
    clock = Clock()
    turnstile = Turnstile(0, 4.0, clock)
    assert [turnstile.enter("a") for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert turnstile.enter("b") == 0, "another client has its own"
    clock.now = 0.25
    assert turnstile.enter("a") == 0
    assert turnstile.enter("a") == pytest.approx(0.25)
    clock.now = 100.0
    assert [turnstile.enter("a") for _ in range(5)] == [0, 0, 0, 0, 0.25], "silence saves up one second"


def test_less_than_one_a_second_lets_one_in():
    clock = Clock()
    turnstile = Turnstile(0, 0.5, clock)
    assert (turnstile.enter("a"), turnstile.enter("a")) == (0, 2.0)
    clock.now = 2.0
    assert turnstile.enter("a") == 0


def test_places_in_flight_are_given_back():
    turnstile = Turnstile(2, 0.0)
    assert [turnstile.enter("a") for _ in range(3)] == [0, 0, 1.0]
    turnstile.leave("a")
    assert turnstile.enter("a") == 0


def test_what_was_refused_takes_no_place():
    clock = Clock()
    turnstile = Turnstile(1, 1.0, clock)
    assert turnstile.enter("a") == 0
    assert turnstile.enter("a") == 1.0
    turnstile.leave("a")
    clock.now = 1.0
    assert turnstile.enter("a") == 0


def test_clients_that_ask_for_nothing_are_forgotten_and_the_others_are_not():
    clock = Clock()
    turnstile = Turnstile(1, 0.0, clock)
    assert turnstile.enter("busy") == 0
    for number in range(3 * MOST_CLIENTS):
        turnstile.enter(f"{number}")
        turnstile.leave(f"{number}")
    assert len(turnstile._clients) <= MOST_CLIENTS
    assert turnstile.enter("busy") == 1.0


def test_the_client_that_makes_the_others_be_forgotten_is_counted_itself():
    turnstile = Turnstile(1, 0.0, Clock())
    for number in range(MOST_CLIENTS):
        assert not turnstile.enter(f"busy {number}")
    assert not turnstile.enter("the next")
    assert turnstile.enter("the next"), "its place is taken"


def test_a_client_that_takes_too_much_is_told_and_others_are_served(serve, tmp_path):
    (tmp_path / "token").write_text("\n".join(TOKENS))
    config = ServingConfig(port=0, token_file=str(tmp_path / "token"), client_requests=1)
    serving, engine = serve(ModelConfig(name="m", max_batch=1), config=config), HeldEngine()
    serving.swap("m", "1", engine)
    engine.gate.clear()
    greedy, modest = ({"Authorization": f"Bearer {token}"} for token in TOKENS)
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(serving.ask("POST", INFER, request_of(**feed(1)), **greedy)[0])
    )
    first.start()
    assert engine.entered.acquire(timeout=60)
    status, headers, document = serving.ask("POST", INFER, request_of(**feed(1)), **greedy)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert "client_requests" in document["error"]
    assert serving.ask("GET", "/v2/health/live", **greedy)[0] == 200, "health is always answered"
    assert serving.ask("GET", "/v2", **modest)[0] == 200
    engine.gate.set()
    first.join(60)
    assert answers == [200]
    assert serving.ask("POST", INFER, request_of(**feed(1)), **greedy)[0] == 200


def test_a_refused_question_does_not_cost_the_connection(serve):
    serving = serve(ModelConfig(name="m"), config=ServingConfig(port=0, client_rate=0.001))
    with serving.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        stream = connection.makefile("rb")
        found = []
        for _ in range(2):
            found.append(int(stream.readline().split()[1]))
            headers = dict(line.decode().strip().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
            stream.read(int(headers["Content-Length"]))
        assert found == [200, 429]
        assert 900 < int(headers["Retry-After"]) <= 1000, "what has passed meanwhile is taken off"
        assert "Connection" not in headers
