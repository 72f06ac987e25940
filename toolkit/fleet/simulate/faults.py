"""Who misbehaves in a simulated fleet, and how: offline for a while, bad, flapping, or hurt by one version. Seeded.

The answer for a device depends on the seed and its name alone, so every process that is asked says the same.
`rehearsal` chooses the figures, `device` and `crowd` act on them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from toolkit.wire.digest import digest_of

MAX_OUTAGES = 10_000
"""Changes of a flapping device that are laid out in advance; at its pace that is hours."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the fleet, 0 to 1, and seconds. A device has at most one of the first three faults."""

    offline: float = 0.10
    """Lose the network once and come back."""
    offline_from: float = 0.0
    offline_until: float = 5.0
    """Outages begin between these two moments after the faults begin."""
    offline_seconds: float = 5.0
    """Longest outage; the shortest is a fifth of it."""
    bad: float = 0.02
    """Fail the golden check of every version of `bad_versions`."""
    bad_versions: tuple[str, ...] = ()
    flapping: float = 0.01
    """Come and go all the time."""
    flap_seconds: float = 1.5
    """Longest time that a flapping device is here, or away, in a row; the shortest is a fifth of it."""
    broken_versions: tuple[str, ...] = ()
    """Versions that fail their golden check on some devices."""
    broken_on: float = 0.05
    """The share of devices on which they do."""


@dataclass(frozen=True)
class Outage:
    """A device is away from `start` to `end`, in seconds after the faults begin."""

    start: float
    end: float


@dataclass(frozen=True)
class Character:
    """How one device misbehaves."""

    kind: str
    """healthy, offline, bad or flapping."""
    refuses: frozenset[str]
    """Versions whose golden check fails here."""
    outages: tuple[Outage, ...] = ()
    """In order of time."""


@dataclass(frozen=True)
class Manners:
    """How long a device takes, in seconds, and what fails on it."""

    refuses: frozenset[str] = frozenset()
    """Versions whose golden check fails."""
    check_seconds: float = 0.2
    """For the golden check."""
    load_seconds: float = 0.05
    """For loading a version beside the one that serves."""
    probation_seconds: float = 0.2
    max_frame_bytes: int = 256 * 1024


def character_of(device: str, seed: int, faults: Faults) -> Character:
    """Say how a device misbehaves."""
    kind = kind_of(device, seed, faults)
    refuses = set(faults.bad_versions) if kind == "bad" else set()
    if draw(device, seed, "broken") < faults.broken_on:
        refuses |= set(faults.broken_versions)
    dice = random.Random(f"{seed}/{device}/outages")  # noqa: S311  # a simulation, not a secret
    outages: tuple[Outage, ...] = ()
    if kind == "offline":
        start = dice.uniform(faults.offline_from, faults.offline_until)
        outages = (Outage(start, start + dice.uniform(0.2, 1.0) * faults.offline_seconds),)
    elif kind == "flapping":
        outages = tuple(_flaps(dice, faults.flap_seconds))
    return Character(kind, frozenset(refuses), outages)


def kind_of(device: str, seed: int, faults: Faults) -> str:
    """Say which of the three faults a device has: healthy, offline, bad or flapping."""
    drawn = draw(device, seed, "kind")
    for kind, share in (("offline", faults.offline), ("bad", faults.bad), ("flapping", faults.flapping)):
        if drawn < share:
            return kind
        drawn -= share
    return "healthy"


def draw(device: str, seed: int, purpose: str) -> float:
    """Give a number from 0 to 1 that belongs to this device and purpose."""
    return int(digest_of(f"{seed}\0{purpose}\0{device}".encode())[:12], 16) / 16**12


def _flaps(dice: random.Random, longest: float) -> Iterable[Outage]:
    at = 0.0
    for _ in range(MAX_OUTAGES):
        start = at + dice.uniform(0.2, 1.0) * longest
        at = start + dice.uniform(0.2, 1.0) * longest
        yield Outage(start, at)
