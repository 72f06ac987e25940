"""What is wrong with the broker of a site before it bites: the facts of `link.probe` held against what we need.

`tiers doctor --broker` prints it, in the shape of every finding. What cannot be probed without harm, such as how much
the broker queues for a client, is not; the presets say what to set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.cluster.doctor.finding import Ailment, error, warning
from toolkit.errors import Problem, Severity, UnreachableError
from toolkit.link.presets import PRESETS
from toolkit.link.probe import BrokerFacts, probe
from toolkit.link.settings import LinkSettings
from toolkit.topology.checks.broker import LOOPBACK
from toolkit.wire.topics import Topics

SOON_DAYS = 30.0
LEAST_INFLIGHT = 8

SILENT = error(
    "D901",
    "The broker does not answer, or does not let us in.",
    why="no model moves and no report arrives",
    cure="look at address, certificates and clock, and at the broker's log",
)
PLAIN = error(
    "D902",
    "The connection has no encryption.",
    why="anybody on the way reads and changes what devices report",
    cure="broker: {url: mqtts://HOST:8883}",
)
OLD_TLS = error(
    "D903",
    "The broker speaks TLS 1.1 or older.",
    why="it is broken",
    cure="tls_version tlsv1.2 in mosquitto.conf",
)
ENDED = error(
    "D904",
    "A certificate has run out.",
    why="nobody is let in",
    cure="tiers device enroll with its request, again",
)
ENDS = warning(
    "D905",
    "A certificate runs out soon.",
    why="from that day on nobody is let in",
    cure="tiers device enroll with its request, again",
)
ANYBODY = error(
    "D906",
    "The broker lets anybody in.",
    why="who needs no name can say that it is any device",
    cure="allow_anonymous false, require_certificate true; tiers render --broker-config DIR writes both",
)
NO_RULES = error(
    "D907",
    "The broker takes what nobody of ours may write.",
    why="one device that is taken over can speak for all others",
    cure="tiers render --broker-config DIR writes an acl_file",
)
SMALL = error(
    "D908",
    "The broker takes smaller packets than we send.",
    why="it ends the connection of the depot at the first full frame",
    cure="raise max_packet_size, or choose the preset that fits (broker.preset)",
)
NO_ECHO = error(
    "D909",
    "What we say to ourselves does not come back.",
    why="a driver waits for its echo before it writes anything",
    cure="let operators and drivers read and write tiers/1/SITE/e/+",
)
NO_RETAIN = error(
    "D910",
    "The broker keeps no retained messages.",
    why="desired states, manifests and reports are retained",
    cure="switch retained messages on",
)
NO_WILDCARD = error(
    "D911",
    "The broker takes no subscription with a +.",
    why="depots and drivers hear all devices by one",
    cure="switch wildcard subscriptions on",
)
NO_QOS = error(
    "D912", "The broker takes QoS 0 only.", why="documents would get lost", cure="allow QoS 1 for our clients"
)
OLD_MQTT = warning(
    "D913",
    "The broker speaks MQTT 3.1.1 only.",
    why="it cannot say what it refuses, depots cannot share requests, and late frames are not dropped",
    cure="use a broker with MQTT 5, such as Mosquitto 2",
)
NO_SHARE = warning(
    "D914",
    "The broker shares no subscriptions.",
    why="with several depots each answers every request",
    cure="run one depot, or switch shared subscriptions on",
)
FEW_INFLIGHT = warning(
    "D915", "The broker takes few messages at once.",
    why="laying out manifests and starting rollouts takes a round trip each",
    cure="raise max_inflight_messages (Mosquitto), receive-maximum elsewhere",
)  # fmt: skip
AILMENTS = tuple(each for each in vars().copy().values() if isinstance(each, Ailment))
"""Every kind of finding, in order of code, for the reference."""


@dataclass(frozen=True)
class BrokerDiagnosis:
    """What was found at a broker."""

    broker: str
    facts: BrokerFacts | None
    """None when it did not answer."""
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(each.severity is Severity.ERROR for each in self.problems)


def examine_broker(settings: LinkSettings, site: str, now: float) -> BrokerDiagnosis:
    """Probe the broker of a site and say what is wrong; nothing stays behind.

    Args:
        settings: where it is and how to log in, with a client id of its own.
        site: name of the site.
        now: Unix seconds.
    """
    topics = Topics(site)
    try:
        # `x` is no kind of topic of ours, so no role may write it.
        facts = probe(settings, topics.echo(settings.client_id), f"{topics.root}/x/{settings.client_id}")
    except UnreachableError as silence:
        return BrokerDiagnosis(settings.address, None, (SILENT.at(settings.address, silence.message),))
    found = (*_identity(facts, settings, now), *_sizes(facts, settings), *_abilities(facts, settings))
    return BrokerDiagnosis(settings.address, facts, found)


def _identity(facts: BrokerFacts, settings: LinkSettings, now: float) -> Iterator[Problem]:
    place = settings.address
    near = settings.host in LOOPBACK
    if not facts.tls_version and not near:
        yield PLAIN.at(place, "the connection is plain TCP")
    if facts.tls_version in {"SSLv3", "TLSv1", "TLSv1.1"}:
        yield OLD_TLS.at(place, f"it speaks {facts.tls_version}")
    for whose, until in (("the broker's", facts.certificate_until), ("our own", facts.own_certificate_until)):
        if until is None:
            continue
        days = (until - now) / 86400
        if days <= 0:
            yield ENDED.at(place, f"{whose} certificate ran out {-days:.0f} days ago")
        elif days < SOON_DAYS:
            yield ENDS.at(place, f"{whose} certificate runs out in {days:.0f} days")
    if facts.lets_anybody_in and not (near and not facts.tls_version):
        yield ANYBODY.at(place, "a client without certificate and login was let in")
    if facts.writes_anywhere and not (near and not facts.tls_version):
        yield NO_RULES.at(place, "a message for a topic that is nobody's was taken")


def _sizes(facts: BrokerFacts, settings: LinkSettings) -> Iterator[Problem]:
    place, name = settings.address, settings.preset_name
    size = PRESETS[name].max_payload_bytes
    if facts.round_trip_seconds is None:
        yield NO_ECHO.at(place, f"no message came back within {settings.connect_seconds:g} s")
    if facts.full_frame_comes_back is None and facts.max_packet_bytes is not None:
        if facts.max_packet_bytes <= size:
            yield SMALL.at(
                place, f"it takes {facts.max_packet_bytes} bytes, the preset '{name}' sends {size}"
            )
    elif facts.full_frame_comes_back is False:
        yield SMALL.at(place, f"a frame of {size} bytes, which the preset '{name}' sends, does not come back")


def _abilities(facts: BrokerFacts, settings: LinkSettings) -> Iterator[Problem]:
    place, name = settings.address, settings.preset_name
    if not facts.retains:
        yield NO_RETAIN.at(place, "it says that it retains nothing")
    if not facts.wildcards:
        yield NO_WILDCARD.at(place, "it says that it takes no wildcards")
    if facts.max_qos < 1:
        yield NO_QOS.at(place, "it says that it takes QoS 0 only")
    if not facts.mqtt5:
        yield OLD_MQTT.at(place, "it does not speak MQTT 5")
    elif not facts.shared_subscriptions and PRESETS[name].shared_subscriptions:
        yield NO_SHARE.at(place, "it says that it shares no subscriptions")
    if facts.receive_maximum < LEAST_INFLIGHT:
        yield FEW_INFLIGHT.at(place, f"it takes {facts.receive_maximum} unacknowledged messages")
