"""Hand the journal of a real driver to a `desk`: it must come to the same desired states.

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

History = dict[str, list[Models]]
"""Device -> what it was told to run, one after the other."""


@dataclass(frozen=True)
class Replayed:
    """What a desk made of a journal."""

    told: History
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
    desk = desk or Desk()
    retained = Retained(topics, keyring)
    told: History = {}
    for entry in entries:
        if entry.kind == "heard":
            _hear(desk, retained, entry)
        elif entry.kind == "looked":
            for writing in desk.look(entry.at):
                told.setdefault(writing.device, []).append(writing.models)
    return Replayed(told, desk.progress)


def written(entries: Iterable[Entry], topics: Topics, keyring: Keyring) -> History:
    """Give what the driver itself wrote.

    Raises:
        IntegrityError: a desired state does not hold under this keyring.
    """
    told: History = {}
    for entry in entries:
        if entry.kind == "wrote":
            device = topics.device_of(entry.topic)
            payload = unseal(entry.payload, "desired", keyring, what=f"desired state of {device}")
            told.setdefault(device, []).append(decode_desired(payload, device).models)
    return told


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
