"""The requests of one fetch on their two roads: carry out what `protocol.roads` chooses, and tell it what came of it.

Between `transfer`, whose requests it sends, and the link or `road_http`. For the control thread; what comes from the
HTTP road's thread is posted to it first.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from edge_runtime.road_http import Errand, HttpRoad, HttpSettings
from toolkit.protocol import roads
from toolkit.protocol.roads import Prefer, Road
from toolkit.protocol.transfer import Transfer
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import ChunkRequest, encode_request, runs_of

log = logging.getLogger(__name__)
_MIB = 1024 * 1024


@dataclass(frozen=True)
class SecondRoad:
    """The HTTP road of a daemon, for all its fetches."""

    http: HttpRoad
    prefer: Prefer
    post: Callable[[Callable[[], None]], None]
    """Hands a call to the control thread."""
    received: Counter[str] = field(default_factory=Counter)
    """Bytes of frames that it has brought, and times it failed, under `bytes` and `failures`."""


@dataclass(frozen=True)
class _Way:
    """A request that is under way."""

    road: Road
    numbers: tuple[int, ...]
    size: int
    since: float
    counts: bool
    """Whether its time says something; a connection that has to be made first would be counted too."""


class Roads:
    """Sends the requests of one fetch."""

    def __init__(
        self,
        second: SecondRoad,
        artifact: Digest,
        chunks: tuple[ChunkRef, ...],
        send: Callable[[bytes], None],
        now: Callable[[], float],
        take: Callable[[bytes], None],
    ) -> None:
        """Prepare.

        Args:
            second: the HTTP road.
            artifact: what is fetched.
            chunks: of it.
            send: publishes a request over MQTT.
            now: seconds of a clock that only grows.
            take: gets each frame that the HTTP road brings.
        """
        self._second = second
        self._artifact = artifact
        self._chunks = chunks
        self._send = send
        self._now = now
        self._take = take
        self._held = roads.Roads(prefer=second.prefer)
        self._under_way: dict[int, _Way] = {}
        self._taking: Road = Road.MQTT
        self._transfer: Transfer | None = None

    @property
    def taking(self) -> Road:
        """Whose frame is being taken at this moment."""
        return self._taking

    def link(self, *, up: bool) -> None:
        """Learn whether the broker is reached; what was under way is asked for anew."""
        self._held = replace(self._held, link_up=up)
        self._under_way.clear()

    def request(self, request: ChunkRequest, transfer: Transfer) -> None:
        """Send a request on the road that is chosen; `transfer` is where the fetch stands with it."""
        self.look(transfer)
        self._held, road = roads.choose(self._held, self._now())
        numbers = tuple(n for run in request.runs for n in range(run.first, run.first + run.length))
        size = sum(self._chunks[number].size for number in numbers)
        counts = road is Road.MQTT or self._second.http.connected
        self._under_way[request.epoch] = _Way(road, numbers, size, self._now(), counts)
        if road is Road.MQTT:
            self._send(encode_request(request))
        else:
            self._second.http.send(self._errand(request))

    def look(self, transfer: Transfer) -> None:
        """Find out which requests are over, and how they ended."""
        self._transfer = transfer
        over = [epoch for epoch in self._under_way if epoch not in transfer.requests]
        if not over:
            return
        again = set(transfer.again)
        for epoch in over:
            way = self._under_way.pop(epoch)
            if any(number in again or number in transfer.outstanding for number in way.numbers):
                self._failed(way.road, "it does not answer in time")
            elif way.counts:
                self._answered(way)
            else:
                self._held = roads.warmed(self._held, way.road)

    def lied(self, road: Road) -> None:
        """Learn that a chunk which came on a road was not what it should be."""
        if road is Road.HTTP and not self._held.of[road].banned:
            log.warning("%s: http brings wrong bytes and is left", self._artifact[:12])
            self._held = roads.lied(self._held, road)

    def stop(self) -> None:
        """Want nothing any more."""
        self._under_way.clear()

    # ------------------------------------------------------------ inside
    def _errand(self, request: ChunkRequest) -> Errand:
        epoch, post = request.epoch, self._second.post
        return Errand(
            self._artifact,
            self._chunks,
            request,
            deliver=lambda frame: post(lambda: self._arrived(frame)),
            failed=lambda reason: post(lambda: self._broke(request, reason)),
            wanted=lambda: epoch in self._under_way,
        )

    def _arrived(self, frame: bytes) -> None:
        self._second.received["bytes"] += len(frame)
        self._taking = Road.HTTP
        try:
            self._take(frame)
        finally:
            self._taking = Road.MQTT

    def _broke(self, request: ChunkRequest, reason: str) -> None:
        way = self._under_way.pop(request.epoch, None)
        if way is None:
            return  # it has been given up, or asked for again, meanwhile
        self._failed(Road.HTTP, reason)
        transfer = self._transfer
        if not self._held.link_up or transfer is None:
            return  # it will count as lost, and be asked for again
        # The same question under the same epoch: what has come is not sent twice, for a depot is asked for the rest.
        lacking = [number for number in way.numbers if transfer.outstanding.get(number) == request.epoch]
        if lacking:
            rest = msgspec.structs.replace(request, runs=runs_of(lacking))
            self._under_way[request.epoch] = replace(way, road=Road.MQTT, counts=False)
            self._send(encode_request(rest))

    def _failed(self, road: Road, reason: str) -> None:
        self._held = roads.failed(self._held, road, self._now())
        if road is Road.HTTP:
            self._second.received["failures"] += 1
        log.warning("%s: %s fails, the other road is taken: %s", self._artifact[:12], road.value, reason)

    def _answered(self, way: _Way) -> None:
        before = self._held.chosen
        self._held = roads.answered(self._held, way.road, way.size, self._now() - way.since)
        if self._held.chosen is not before and self._held.chosen is not None:
            rates = {road: standing.rate / _MIB for road, standing in self._held.of.items()}
            log.info(
                "%s: takes %s (http %.1f MiB/s, mqtt %.1f MiB/s)",
                self._artifact[:12],
                self._held.chosen.value,
                rates[Road.HTTP],
                rates[Road.MQTT],
            )


def second_road(config: DeviceConfig, post: Callable[[Callable[[], None]], None]) -> SecondRoad | None:
    """Give the HTTP road that a configuration names; None when it names none.

    It shows the certificate by which the broker knows the device, and unless it names another one trusts the
    authority that the broker's certificate comes from.
    """
    download, broker = config.download, config.broker
    if not download.url:
        return None
    settings = HttpSettings(
        download.url,
        ca_file=download.ca_file or broker.ca_file,
        certificate_file=broker.certificate_file,
        key_file=broker.key_file,
    )
    return SecondRoad(HttpRoad(settings), download.prefer, post)
