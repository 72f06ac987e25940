"""Many simulated devices in one process, each with a link of its own: one thread takes all their turns.

A link's thread does nothing but move bytes into its queue, so a look at each queue is all that a quiet device costs.
The crowd also pulls out and puts back the network of those whose `faults` say so. Run by `worker`, one crowd a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from toolkit.fleet.simulate.device import SimulatedDevice
from toolkit.fleet.simulate.faults import Character, Faults, Manners, Outage, character_of
from toolkit.link.link import LastWill, Link
from toolkit.link.paho_link import PahoLink
from toolkit.link.presets import PresetName
from toolkit.link.settings import LinkSettings, TlsSettings
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import decode_keyring
from toolkit.wire.report import Presence
from toolkit.wire.topics import Topics

JOINS_A_TURN = 5
"""How many devices connect at once: each is a handshake for the broker, and a backlog of listeners ends somewhere."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a broker, for another process. The password is in a file."""

    host: str
    port: int
    tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    username: str = ""
    password: str = ""
    preset: PresetName = "default"

    def settings(self, client: str) -> LinkSettings:
        """Give what a link needs."""
        files = TlsSettings(self.ca_file, self.certificate_file, self.key_file)
        return LinkSettings(
            host=self.host,
            port=self.port,
            client_id=client,
            tls=files if self.tls else None,
            username=self.username,
            password=self.password,
            preset_name=self.preset,
            connect_seconds=20.0,
            # A rehearsal on a busy machine must not stand still for a pause that is meant for broken networks.
            retry_longest_seconds=3.0,
        )

    @classmethod
    def of(cls, settings: LinkSettings) -> Address:
        """Take a link's settings apart."""
        tls = settings.tls or TlsSettings()
        return cls(
            host=settings.host,
            port=settings.port,
            tls=settings.tls is not None,
            ca_file=tls.ca_file,
            certificate_file=tls.certificate_file,
            key_file=tls.key_file,
            username=settings.username,
            password=settings.password,
            preset=settings.preset_name,
        )


class CrowdPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices, and where; a worker process gets it on its standard input."""

    names: tuple[str, ...]
    site: str
    broker: Address
    keyring: bytes
    """A keyring document."""
    seed: int = 0
    faults: Faults = Faults()
    check_seconds: float = 0.2
    probation_seconds: float = 0.2


class Traffic(msgspec.Struct, kw_only=True):
    """Payload bytes of a crowd."""

    sent: int = 0
    heard: int = 0
    outages: int = 0
    """How often a device was taken off the network."""


@dataclass
class _Member:
    device: SimulatedDevice
    character: Character
    left: list[Outage] = field(default_factory=list)
    """Outages to come; the last one first."""


class Crowd:
    """Devices of one process. For one thread."""

    def __init__(self, plan: CrowdPlan, now: Callable[[], float] = time.monotonic) -> None:
        """Make the devices; nobody connects before `turn`."""
        self._plan = plan
        self._topics = Topics(plan.site)
        self._now = now
        self._faults_from: float | None = None
        self._outages = 0
        keyring = decode_keyring(plan.keyring)
        self._members: list[_Member] = []
        for name in plan.names:
            character = character_of(name, plan.seed, plan.faults)
            manners = Manners(
                refuses=character.refuses,
                check_seconds=plan.check_seconds,
                probation_seconds=plan.probation_seconds,
            )
            device = SimulatedDevice(name, self._topics, keyring, manners, now)
            self._members.append(_Member(device, character, list(reversed(character.outages))))

    @property
    def traffic(self) -> Traffic:
        """What has crossed the links so far."""
        devices = [member.device for member in self._members]
        sent, heard = (sum(each.sent_bytes for each in devices), sum(each.heard_bytes for each in devices))
        return Traffic(sent=sent, heard=heard, outages=self._outages)

    def begin_faults(self) -> None:
        """Let outages count from now."""
        self._faults_from = self._now()

    def end_faults(self) -> None:
        """Bring everybody back and leave them in peace."""
        self._faults_from = None
        for member in self._members:
            member.left.clear()

    def close(self) -> None:
        """Say goodbye for all."""
        for member in self._members:
            member.device.close()

    def turn(self) -> bool:
        """Give each device its turn; tell whether anybody had something to do."""
        since = None if self._faults_from is None else self._now() - self._faults_from
        busy, joins = False, 0
        for member in self._members:
            away = since is not None and self._is_away(member, since)
            if away and member.device.is_open:
                self._outages += 1
                member.device.close()
            elif not away and not member.device.is_open and joins < JOINS_A_TURN:
                joins += 1
                member.device.open(self._link(member.device.name))
            busy = member.device.turn() or busy
        return busy

    @staticmethod
    def _is_away(member: _Member, since: float) -> bool:
        # One that was over before anybody looked, because the machine stood still, takes place late and not never.
        while member.left and member.left[-1].end <= since and not member.device.is_open:
            member.left.pop()
        return bool(member.left) and member.left[-1].start <= since

    def _link(self, name: str) -> Link:
        will = LastWill(self._topics.presence(name), encode_json(Presence(device=name, state="offline")))
        return PahoLink(self._plan.broker.settings(f"edge-{self._plan.site}-{name}"), will=will)
