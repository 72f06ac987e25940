"""Who may read and write which topics of the broker: devices by the name in their certificate, our programs by role.

Between wire.topics, which says where each document stands, and the template edge/topics.acl.j2. A role's name has a
colon, which no device's name can have, so that no device is ever called like one.

The servers of a service are one device of its name and share its certificate; nobody may be any device.

Mosquitto takes every subscription and then withholds what may not be read: a device that subscribes to another's
topics is not refused, it just never hears anything. A shared subscription is worse: a member that may not read gets
its share all the same, and it is lost; so the group of the depots has a name that only they know (`fleet.share`). Nor
does Mosquitto tie client ids to names: whoever shows a client id that is in use ends the connection of its owner, so
every program of ours has one that nobody can guess.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.wire.topics import Topics

DEPOT, DRIVER, INBOX, OPERATOR = "tiers:depot", "tiers:driver", "tiers:inbox", "tiers:operator"
"""Common names of certificates that are no device's."""
ANY = "+"


@dataclass(frozen=True)
class Role:
    """A program or person that is no device."""

    name: str
    what: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def device_reads(topics: Topics) -> tuple[str, ...]:
    """Give what a device may read, with `%u` for its name."""
    plans = topics.plan(ANY, ANY)
    shared = (f"{topics.root}/a/{ANY}/m", plans, topics.stream(ANY), topics.forget(ANY))
    return (*shared, *(_own(topics, kind) for kind in ("desired", "dat", "got", "ack")))


def device_writes(topics: Topics) -> tuple[str, ...]:
    """Give what a device may write, with `%u` for its name."""
    return tuple(_own(topics, kind) for kind in ("req", "st", "up", "put", "rec"))


def inference_reads(topics: Topics) -> tuple[str, ...]:
    """Give what everybody may read where devices answer over MQTT: questions to itself, and answers to itself."""
    return (f"{topics.root}/i/%u/#", f"{topics.root}/o/%u/#")


def inference_writes(topics: Topics) -> tuple[str, ...]:
    """Give what everybody may write there: its answers to anybody, and questions in its own name."""
    return (f"{topics.root}/o/{ANY}/%u/#", f"{topics.root}/i/{ANY}/{ANY}/%u/#")


def roles(site: str) -> tuple[Role, ...]:
    """Give what everybody else may do at a site."""
    topics = Topics(site)
    manifests, echoes = f"{topics.root}/a/{ANY}/m", f"{topics.root}/e/{ANY}"
    rollouts, courses, desired = topics.rollout(ANY), topics.course(ANY), topics.desired(ANY)
    requests, frames = topics.request(ANY), topics.data(ANY)
    said = (topics.state(ANY), topics.presence(ANY))
    return (
        Role(
            DEPOT,
            "The depot: answers requests, lays out manifests and announces plans.",
            (rollouts, requests, topics.plan(ANY, ANY)),
            (frames, manifests, topics.plan(ANY, ANY), topics.stream(ANY)),
        ),
        Role(
            DRIVER,
            "The driver of rollouts: reads reports, writes what each device shall run.",
            (rollouts, courses, *said, desired, echoes),
            (desired, courses, echoes),
        ),
        Role(
            INBOX,
            "The inbox and the receiver of records: take what devices bring.",
            (topics.put(ANY), topics.records(ANY)),
            (topics.given(ANY), topics.records_answer(ANY)),
        ),
        Role(
            OPERATOR,
            "People and CI: start, watch and end rollouts; the seals say whose word counts.",
            (f"{topics.root}/#", "$SYS/#"),
            (rollouts, courses, manifests, echoes, topics.forget(ANY)),
        ),
    )


def _own(topics: Topics, kind: str) -> str:
    """Give a topic of the device that asks; Mosquitto puts its name in the place of %u."""
    return f"{topics.root}/d/%u/{kind}"
