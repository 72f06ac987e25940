"""Which road a request takes: probed once, preferred when told, left when it fails, banned when it lies."""

from __future__ import annotations

import pytest

from toolkit.protocol.roads import (
    LONGEST_REST,
    Prefer,
    Road,
    Roads,
    answered,
    choose,
    failed,
    lied,
    warmed,
)

UP = Roads(link_up=True)
MQTT, HTTP = Road.MQTT, Road.HTTP


def probed(mqtt: float, http: float) -> Roads:
    held = answered(answered(UP, MQTT, 1000, 1000 / mqtt), HTTP, 1000, 1000 / http)
    assert held.chosen is not None
    return held


def roads_of(held: Roads, count: int, now: float = 0.0) -> list[Road]:
    found = []
    for _ in range(count):
        held, road = choose(held, now)
        found.append(road)
    return found


@pytest.mark.parametrize(("http", "taken"), [(2.0, HTTP), (1.9, MQTT), (50, HTTP), (0.1, MQTT)])
def test_http_is_taken_when_it_is_twice_as_fast(http: float, taken: Road) -> None:
    assert roads_of(probed(1.0, http), 3) == [taken] * 3


def test_the_first_two_requests_are_the_probe() -> None:
    assert roads_of(UP, 4) == [MQTT, HTTP, MQTT, MQTT]
    held, _ = choose(UP, 0)
    held, _ = choose(held, 0)
    assert roads_of(answered(held, HTTP, 10, 1), 2) == [HTTP, HTTP]
    assert roads_of(warmed(held, HTTP), 2) == [HTTP, MQTT], "the first one only made the connection"


@pytest.mark.parametrize("prefer", ["http", "mqtt"])
def test_what_is_preferred_is_not_probed(prefer: Prefer) -> None:
    assert roads_of(Roads(prefer=prefer, link_up=True), 3) == [Road(prefer)] * 3


@pytest.mark.parametrize("prefer", ["auto", "http", "mqtt"])
def test_without_a_link_only_http_is_left(prefer: Prefer) -> None:
    held = Roads(prefer=prefer)
    assert roads_of(held, 3) == [HTTP] * 3
    assert roads_of(failed(held, HTTP, 0.0), 2) == [HTTP] * 2


def test_a_road_that_fails_rests_longer_each_time_and_comes_back() -> None:
    held, now, rests = probed(1, 10), 0.0, []
    for _ in range(10):
        held = failed(held, HTTP, now)
        assert failed(held, HTTP, now) == held, "several requests of one failure count once"
        assert roads_of(held, 2, now) == [MQTT] * 2
        rests.append(held.of[HTTP].rests_until - now)
        now = held.of[HTTP].rests_until
        assert roads_of(held, 1, now) == [HTTP]
    assert rests[:4] == [2.0, 4.0, 8.0, 16.0]
    assert rests[-1] == LONGEST_REST
    held = answered(held, HTTP, 1, 1)
    assert failed(held, HTTP, now).of[HTTP].rests_until == now + 2.0


def test_mqtt_that_does_not_answer_leaves_it_to_http() -> None:
    held = failed(probed(10, 1), MQTT, 0.0)
    assert roads_of(held, 2) == [HTTP] * 2
    both = failed(held, HTTP, 1.0)
    assert roads_of(both, 1, 1.5) == [MQTT], "its rest is over first"


def test_a_probe_that_failed_is_made_again() -> None:
    held, _ = choose(UP, 0)
    held, _ = choose(held, 0)
    held = failed(answered(held, MQTT, 10, 1), HTTP, 0.0)
    assert roads_of(held, 2, 1.0) == [MQTT] * 2
    assert roads_of(held, 2, 2.0) == [HTTP, MQTT]


def test_a_road_that_lied_is_not_taken_again() -> None:
    held = lied(probed(1, 10), HTTP)
    assert roads_of(held, 2, 1e9) == [MQTT] * 2
    down = Roads(of=held.of, chosen=held.chosen)
    assert roads_of(down, 1, 1e9) == [MQTT]
    assert lied(UP, MQTT) == UP
