"""The control thread: everything that decides happens here, one call after the other.

    link's thread -> pump -> inbox <- disk, loader, golden checks, event loop
                               |
                      control thread: desired documents -> install;  manifests -> offers;  frames -> transfer;  time

The inbox holds calls. Messages of the link enter it through a counting gate, so a flood on a topic slows the link's
reading down (and with it the broker) instead of filling memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import Queue
from typing import Final

from edge_runtime.config import Settings
from edge_runtime.drain import Draining
from edge_runtime.install import Installer
from edge_runtime.journal import Journal
from edge_runtime.line import Inbox, Line
from edge_runtime.workshop import Workshop
from toolkit.errors import IntegrityError, TiersError
from toolkit.link.link import Arrived, Connected, Disconnected, LinkEvent
from toolkit.protocol import exchange
from toolkit.wire.desired import decode_desired
from toolkit.wire.digest import Digest
from toolkit.wire.report import Presence
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)
MESSAGES_AT_ONCE: Final = 64
"""Messages of the link that may wait for the control thread."""
TICK_SECONDS: Final = 1.0
BUSY_TICK_SECONDS: Final = 0.05
RETRY_LINK_SECONDS: Final = 60.0


class Control:
    """The thread and what it does with what arrives."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        inbox: Inbox,
        line: Line,
        workshop: Workshop,
        installer: Installer,
        draining: Draining | None,
        journal: Journal,
    ) -> None:
        """Prepare; nothing happens before `start`. Without an outbox there is nothing to drain."""
        self._draining, self._journal = draining, journal
        self._device = settings.config.device
        self._trust, self._trusted = settings.trust, settings.trust.changes
        self._topics = topics
        self._inbox = inbox
        self._line = line
        self._store = workshop.store
        self._offers = workshop.offers
        self._fetches = workshop.fetches
        self._patching = workshop.patching
        self._plans = workshop.plans
        self._reports = workshop.reports
        self._live = workshop.live
        self._now = workshop.now
        self._installer = installer
        self._ending = threading.Event()
        self._gate = threading.Semaphore(MESSAGES_AT_ONCE)
        self._ticked_at = 0.0
        self._retry_link_at = 0.0
        self.refused = 0
        """Desired documents that came and could not be trusted."""
        self.connected = False
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End the thread, then the link. A control thread that hangs does not keep the daemon."""
        self._ending.set()
        self._inbox.post(lambda: None)
        self._thread.join(seconds)
        self._line.close()

    # ------------------------------------------------------------ the thread
    def _run(self) -> None:
        self._guard(self._begin)
        while not self._ending.is_set():
            call = self._inbox.take(BUSY_TICK_SECONDS if self._fetches.active else TICK_SECONDS)
            if call is not None:
                self._guard(call)
            self._guard(self._tick)

    def _begin(self) -> None:
        self._installer.restart()
        payload = self._store.desired()
        if payload is not None:
            # It was kept before it was obeyed; the device may have stopped in between.
            self._installer.obey(decode_desired(payload, self._device))

    def _tick(self) -> None:
        now = self._now()
        if self._line.link is None and now >= self._retry_link_at:
            self._retry_link_at = now + RETRY_LINK_SECONDS
            self._open_line()
        if now - self._ticked_at >= (BUSY_TICK_SECONDS if self._fetches.active else TICK_SECONDS):
            self._ticked_at = now
            self._look_at_keyring()
            self._live.look(now)
            self._fetches.tell(exchange.Tick())
            self._installer.tick()
            self._journal.look()
            if self._draining is not None:
                self._draining.tick()

    def _look_at_keyring(self) -> None:
        """When other keys count, hear again what the broker keeps for us: it may be sealed by one of them."""
        self._trust.look()
        if self._trust.changes != self._trusted:
            self._trusted = self._trust.changes
            self._line.want_desired()

    @staticmethod
    def _guard(call: Callable[[], None]) -> None:
        """Do a call; whatever goes wrong in it must not end the thread that everything hangs on."""
        try:
            call()
        except TiersError as error:
            log.error("%s; %s", error.message, error.hint)  # noqa: TRY400 -- explained, not a fault
        except Exception:
            log.exception("a call of the control thread failed")

    # ------------------------------------------------------------ the link
    def _open_line(self) -> None:
        events = self._line.open()
        if events is not None:
            threading.Thread(target=self._pump, args=(events,), name="pump", daemon=True).start()

    def _pump(self, events: Queue[LinkEvent]) -> None:
        while not self._ending.is_set():
            event = events.get()
            if isinstance(event, Arrived) and (ear := self._line.ear(event.topic)):
                ear(event)
                continue
            self._gate.acquire()
            self._inbox.post(partial(self._happened, event))

    def _happened(self, event: LinkEvent) -> None:
        self._gate.release()
        if isinstance(event, Arrived):
            self._arrived(event)
        elif isinstance(event, Connected):
            log.info("connected to the broker")
            self.connected = True
            self._line.present(Presence(device=self._device, state="online"))
            self._reports.again()
            self._fetches.tell(exchange.Reconnected())
            if self._draining is not None:
                self._draining.connected()
        elif isinstance(event, Disconnected):
            log.info("no connection: %s", event.reason)
            self.connected = False
            self._fetches.tell(exchange.Disconnected())
            if self._draining is not None:
                self._draining.disconnected()

    def _arrived(self, message: Arrived) -> None:
        if message.topic == self._topics.data(self._device):
            self._fetches.tell(exchange.FrameArrived(message.payload))
        elif message.topic.startswith(stream := self._topics.stream("")):
            self._fetches.streamed(Digest(message.topic.removeprefix(stream)), message.payload)
        elif (plan := self._topics.plan_of(message.topic)) is not None:
            self._plans.announced(*plan, message.payload)
        elif not message.payload:
            return  # a retained topic was cleared; what we obey, we keep
        elif message.topic == self._topics.records_answer(self._device):
            if self._draining is not None:
                self._draining.arrived(message.payload)
        elif message.topic == self._topics.desired(self._device):
            self._obey(message.payload)
        else:
            artifact = message.topic.removeprefix(f"{self._topics.root}/a/").removesuffix("/m")
            self._offers.manifest_arrived(artifact, message.payload)
            self._patching.manifest_arrived(artifact, message.payload)

    def _obey(self, sealed: bytes) -> None:
        try:
            payload = unseal(sealed, "desired", self._trust.keyring, what=f"desired state of {self._device}")
            desired = decode_desired(payload, self._device)
        except IntegrityError as error:
            self.refused += 1
            log.error("not obeyed: %s; %s", error.message, error.hint)  # noqa: TRY400 -- explained
            return
        seq, fence = self._store.count("desired_seq"), self._store.count("desired_fence")
        if desired.seq <= seq or desired.fence < fence:
            log.info(
                "desired state %d (term %d) is not newer than %d (term %d)",
                desired.seq,
                desired.fence,
                seq,
                fence,
            )
            return
        self._store.save_desired(payload, desired.seq, desired.fence)
        self._installer.obey(desired)
