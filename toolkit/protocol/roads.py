"""Which of two roads the next request of a transfer takes: MQTT's pulls, or ranges over HTTP. Pure.

`transfer` decides what is missing and how much is under way; this decides only who brings it, so both roads share one
bitmap, one window and one check of each chunk. `edge_runtime.roads` drives it: it asks `choose` for each request and
tells what became of it.

Unless one is preferred, the first request goes over MQTT and the second over HTTP; HTTP is taken for the rest of the
deployment when it was at least twice as fast. A road that fails rests, twice as long each time, and the other one goes
on; one that brings wrong bytes is not taken again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal

Prefer = Literal["auto", "http", "mqtt"]
WORTH: Final = 2.0
"""HTTP is taken when it is so many times as fast: MQTT needs no second way through the site's firewall."""
FIRST_REST: Final = 2.0
LONGEST_REST: Final = 300.0


class Road(str, Enum):
    """How chunks come."""

    MQTT = "mqtt"
    HTTP = "http"


@dataclass(frozen=True)
class Standing:
    """What is known of one road; seconds of the driver's clock."""

    asked: bool = False
    rate: float = 0.0
    """Bytes a second of the last request that was answered in full; 0 before."""
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0
    banned: bool = False


@dataclass(frozen=True)
class Roads:
    """Where the choice stands."""

    prefer: Prefer = "auto"
    link_up: bool = False
    """Whether the broker is reached."""
    of: Mapping[Road, Standing] = field(default_factory=lambda: {road: Standing() for road in Road})
    chosen: Road | None = None
    """What the probe has said; None before it is over."""


def choose(held: Roads, now: float) -> tuple[Roads, Road]:
    """Give the road of the next request."""
    road = _wanted(held, now)
    standing = replace(held.of[road], asked=True)
    return _with(held, road, standing), road


def answered(held: Roads, road: Road, size: int, seconds: float) -> Roads:
    """Learn that a request was answered in full: `size` bytes in `seconds`."""
    standing = replace(held.of[road], rate=size / max(seconds, 1e-3), failures=0, rests_until=0.0)
    held = _with(held, road, standing)
    rates = {each: known.rate for each, known in held.of.items()}
    if held.chosen is None and all(rates.values()):
        faster = rates[Road.HTTP] >= WORTH * rates[Road.MQTT]
        held = replace(held, chosen=Road.HTTP if faster else Road.MQTT)
    return held


def warmed(held: Roads, road: Road) -> Roads:
    """Learn that a request was answered whose time says nothing; the road is probed again."""
    return _with(held, road, replace(held.of[road], asked=False, failures=0, rests_until=0.0))


def failed(held: Roads, road: Road, now: float) -> Roads:
    """Learn that a request was not answered, or not in full."""
    standing = held.of[road]
    if standing.rests_until > now:
        return held  # several requests were under way; one failure counts
    rest = min(FIRST_REST * 2.0**standing.failures, LONGEST_REST)
    again = replace(standing, asked=False, failures=min(standing.failures + 1, 16), rests_until=now + rest)
    return _with(held, road, again)


def lied(held: Roads, road: Road) -> Roads:
    """Learn that a road brought wrong bytes. MQTT's own are counted by `transfer`, so only HTTP is banned."""
    return _with(held, road, replace(held.of[road], banned=True)) if road is Road.HTTP else held


def _wanted(held: Roads, now: float) -> Road:
    http, mqtt = held.of[Road.HTTP], held.of[Road.MQTT]
    if http.banned:
        return Road.MQTT
    if not held.link_up:
        return Road.HTTP
    first = _first(held)
    if held.of[first].rests_until <= now:
        return first
    other = Road.MQTT if first is Road.HTTP else Road.HTTP
    if held.of[other].rests_until <= now:
        return other
    return Road.HTTP if http.rests_until < mqtt.rests_until else Road.MQTT


def _first(held: Roads) -> Road:
    if held.prefer != "auto":
        return Road(held.prefer)
    if held.chosen is not None:
        return held.chosen
    http, mqtt = held.of[Road.HTTP], held.of[Road.MQTT]
    if not mqtt.asked:
        return Road.MQTT
    if not http.asked:
        return Road.HTTP
    return Road.HTTP if http.rate and not mqtt.rate else Road.MQTT


def _with(held: Roads, road: Road, standing: Standing) -> Roads:
    return replace(held, of={**held.of, road: standing})
