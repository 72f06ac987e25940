"""Hand the journal of a real driver to a `desk`: it must write the same desired states, in the same order and looks.

`driver` wrote the journal while a real `fleet.steer.Steering` worked on a real broker.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.fleet.retained import Retained
from toolkit.fleet.simulate.desk import Desk, Models
from toolkit.fleet.simulate.journal import Entry
from toolkit.protocol.waves import Progress
from toolkit.wire.desired import decode_desired
from toolkit.wire.keyring import Keyring
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics


@dataclass(frozen=True)
class Told:
    """A desired state, and in which look it was written, from 1."""

    look: int
    device: str
    models: Models


@dataclass(frozen=True)
class Replayed:
    """What a desk made of a journal."""

    told: tuple[Told, ...]
    """In order."""
    progress: dict[str, Progress]
    """Where the rollouts stand at the end."""


def replay(entries: Iterable[Entry], topics: Topics, keyring: Keyring, desk: Desk | None = None) -> Replayed:
    """Let a desk hear what a driver heard and look when it looked.

    Args:
        entries: of the journal.
        topics: of the site.
        keyring: whose seals hold.
        desk: to be fed; nothing takes a new one.
    """
    desk = desk or Desk(hears_itself=True)
    retained = Retained(topics, keyring)
    told: list[Told] = []
    looks = 0
    for entry in entries:
        if entry.kind == "heard":
            _hear(desk, retained, entry)
        elif entry.kind == "looked":
            looks += 1
            told.extend(Told(looks, each.device, each.models) for each in desk.look(entry.at))
    return Replayed(tuple(told), desk.progress)


def written(entries: Iterable[Entry], topics: Topics, keyring: Keyring) -> tuple[Told, ...]:
    """Give what the driver itself wrote, in order.

    Raises:
        IntegrityError: a desired state does not hold under this keyring.
    """
    told: list[Told] = []
    looks = 0
    for entry in entries:
        looks += entry.kind == "looked"
        if entry.kind == "wrote":
            device = topics.device_of(entry.topic)
            payload = unseal(entry.payload, "desired", keyring, what=f"desired state of {device}")
            told.append(Told(looks, device, decode_desired(payload, device).models))
    return tuple(told)


def _hear(desk: Desk, retained: Retained, entry: Entry) -> None:
    """Judge a document as a driver does, then hand on what it is worth."""
    kind = retained.take(entry.topic, entry.payload)
    name = entry.topic.split("/")[-1 if kind == "rollout" else -2]
    if kind == "rollout":
        rollout = retained.rollouts.get(name)
        if rollout is not None:
            desk.take_rollout(rollout)
        else:
            desk.drop_rollout(name)
    elif kind == "report":
        report = retained.reports.get(name)
        if report is not None:
            desk.take_report(report)
        else:
            desk.drop_report(name)
    elif kind == "presence":
        desk.take_presence(name, online=retained.online.get(name, False))
    elif kind == "desired":
        desk.take_desired(name)
