"""Everything that a rehearsal needs on a broker: keys, a registry, a depot, a driver, and the simulated devices.

Keys and registry are made for the occasion, so no real device obeys any of it and no real driver believes it.
`rehearsal` plays on it; at the end the broker is left without a trace.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import TiersError, UsageError
from toolkit.fleet.depot import Depot
from toolkit.fleet.reports import Watch, open_watch
from toolkit.fleet.retained import Retained
from toolkit.fleet.simulate.artifact import content_of, lay_in
from toolkit.fleet.simulate.crowd import Address, CrowdPlan, Traffic
from toolkit.fleet.simulate.driver import JournalledDriver
from toolkit.fleet.simulate.faults import Faults
from toolkit.fleet.simulate.workers import Workers
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import LinkSettings
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.rollout import Rollout
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics, check_label

MODEL = "rehearsal"
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
"""What everybody has first, what is rolled out, and what is broken on some devices."""
_FLUSH_SECONDS = 30.0
_CLEARING_ROUNDS = 5


def faults(
    *,
    broken_on: float = 0.05,
    offline_until: float = 5.0,
    offline_seconds: float = 5.0,
    flap_seconds: float = 1.5,
) -> Faults:
    """Give the faults of a rehearsal: 10 % are offline once, 2 % refuse all but the first version, 1 % flap.

    Args:
        broken_on: part of the fleet, 0 to 1, on which the last version is broken.
        offline_until: outages begin within so many seconds.
        offline_seconds: the longest one.
        flap_seconds: longest time that a flapping device is here, or away, in a row.
    """
    return Faults(
        offline_until=offline_until,
        offline_seconds=offline_seconds,
        bad_versions=VERSIONS[1:],
        flap_seconds=flap_seconds,
        broken_versions=VERSIONS[2:],
        broken_on=broken_on,
    )


@dataclass(frozen=True)
class FleetPlan:
    """A simulated fleet."""

    devices: int
    seed: int = 0
    site: str = "rehearsal"
    prefix: str = "sim"
    """Devices are named PREFIX-00001 and so on; no device of the site may have such a name."""
    faults: Faults = faults()  # noqa: RUF009  # frozen
    artifact_bytes: int = 96 * 1024
    processes: int = 2
    check_seconds: float = 0.2
    probation_seconds: float = 0.2

    @property
    def names(self) -> tuple[str, ...]:
        """The devices' names."""
        return tuple(f"{self.prefix}-{number:05}" for number in range(1, self.devices + 1))


class Stage:
    """A site with simulated devices. `open` it, and `close` it in any case."""

    def __init__(self, plan: FleetPlan, settings: LinkSettings, folder: Path, *, clears: bool = True) -> None:
        """Prepare.

        Args:
            plan: the fleet.
            settings: of the broker; the client id is replaced by names of our own.
            folder: for the registry; empty or not there yet.
            clears: leave nothing on the broker; False when it ends with us anyway.

        Raises:
            IntegrityError: site or prefix make names that no topic may have.
        """
        check_label(plan.names[0], what="device")
        self.plan = plan
        self.topics = Topics(plan.site)
        self.artifacts: dict[str, Digest] = {}
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes_raw()
        self.keyring = Keyring(keys=(TrustedKey(public=public, roles=("operator", "registry")),))
        self._settings = settings
        self._clears = clears
        self._folder = folder
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._threads: list[threading.Thread] = []
        self._rollouts: list[str] = []
        self._workers: Workers | None = None
        self._operator: PahoLink | None = None
        self.depot = Depot(self._link("depot"), self.topics, self._store, self.keyring)
        self.driver = JournalledDriver(self._link("driver"), self.topics, self.key, self.keyring)

    @property
    def retained(self) -> Retained:
        """What the driver has heard; written by its thread, so copy before looping over a part of it."""
        return self.driver.steering.watch.retained

    def open(self) -> None:
        """Make the registry, start depot, driver and devices.

        Raises:
            UsageError: the site has devices of such names.
            UnreachableError: the broker does not answer.
        """
        self._refuse_used_names()
        store = PackStore(DirectoryRemote(str(self._folder), create=True))
        for counter, version in enumerate(VERSIONS, start=1):
            content = content_of(self.plan.artifact_bytes, self.plan.seed, counter)
            self.artifacts[version] = lay_in(
                store, self.key, MODEL, version, counter=counter, content=content
            )
        self._operator = self._link("operator")
        self._operator.connect()
        ready = threading.Event()
        self._start("depot", lambda: self.depot.run(self._stop, ready=ready.set))
        self._start("driver", lambda: self.driver.run(self._stop))
        self._workers = Workers(
            CrowdPlan(
                names=self.plan.names,
                site=self.plan.site,
                broker=Address.of(self._settings),
                keyring=encode_json(self.keyring),
                seed=self.plan.seed,
                faults=self.plan.faults,
                check_seconds=self.plan.check_seconds,
                probation_seconds=self.plan.probation_seconds,
            ),
            self.plan.processes,
        )

    def publish(self, rollout: Rollout) -> None:
        """Write an operator's intent."""
        self._rollouts.append(rollout.name)
        self._send(self.topics.rollout(rollout.name), seal(encode_json(rollout), "rollout", self.key))

    def begin_faults(self) -> None:
        """Let devices lose the network from now on."""
        if self._workers is not None:
            self._workers.begin_faults()

    def end_faults(self) -> None:
        """Bring all devices back."""
        if self._workers is not None:
            self._workers.end_faults()

    def traffic(self) -> Traffic:
        """Give what has crossed the devices' links so far."""
        return self._workers.traffic() if self._workers is not None else Traffic()

    def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until something is so.

        Raises:
            TiersError: it took longer, or depot or driver ended.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self._failures:
                raise TiersError("the rehearsal ended early") from self._failures[0]
            if time.monotonic() > deadline:
                raise TiersError(
                    f"after {seconds:.0f} s still not: {what}",
                    hint="give it longer (--patience), or fewer --devices",
                )
            self._stop.wait(0.05)

    def close(self) -> None:
        """End everything and clear what stands on the broker."""
        workers, self._workers = self._workers, None
        try:
            if workers is not None:
                workers.end()
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
            self._clear()

    # ------------------------------------------------------------ inside
    def _link(self, role: str) -> PahoLink:
        return PahoLink(replace(self._settings, client_id=f"{role}-{self.plan.site}-{self.plan.prefix}"))

    def _store(self) -> PackStore:
        return PackStore(DirectoryRemote(str(self._folder)))

    def _start(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  # handed to whoever waits
                self._failures.append(error)

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))
        self._threads[-1].start()

    def _refuse_used_names(self) -> None:
        retained = self._look().retained
        there = {*retained.reports, *retained.online, *retained.desired}
        used = sorted(there & set(self.plan.names))
        if used:
            raise UsageError(
                f"site {self.plan.site} has {len(used)} devices of such names already, {used[0]} among them",
                hint="choose another --prefix, or a --site that nobody uses",
            )

    def _send(self, topic: str, payload: bytes) -> None:
        if self._operator is not None:
            self._operator.publish(topic, payload, qos=1, retain=True)

    def _clear(self) -> None:
        if self._operator is None:
            return
        topics = self._all_topics() if self._clears else []
        for _ in range(_CLEARING_ROUNDS):
            for topic in topics:
                self._send(topic, b"")
            if not topics or not self._operator.flush(_FLUSH_SECONDS):
                break
            # A goodbye that a device sent over its own connection may reach the broker after our clearing.
            topics = self._left_over()
        self._operator.close()
        self._operator = None

    def _all_topics(self) -> list[str]:
        """Name every topic on which something of ours may stand."""
        topics = [
            topic
            for name in self.plan.names
            for topic in (self.topics.state(name), self.topics.presence(name), self.topics.desired(name))
        ]
        for name in dict.fromkeys(self._rollouts):
            topics += [self.topics.rollout(name), self.topics.course(name)]
        return topics + [self.topics.manifest(artifact) for artifact in self.artifacts.values()]

    def _left_over(self) -> list[str]:
        """Look which of them are not empty."""
        there = self._look().retained
        ours = set(self.plan.names)
        return [
            *(self.topics.state(name) for name in there.reports if name in ours),
            *(self.topics.presence(name) for name in there.online if name in ours),
            *(self.topics.desired(name) for name in there.desired if name in ours),
            *(self.topics.rollout(name) for name in there.rollouts if name in self._rollouts),
            *(self.topics.course(name) for name in there.courses if name in self._rollouts),
        ]

    def _look(self) -> Watch:
        """Collect what stands on the broker."""
        address = self._settings.address
        watch = open_watch(self._link("look"), self.topics, None, name="rehearsal-look", address=address)
        watch.close()
        return watch
