"""The front of the house: everything that a question passes, on the event loop. `daemon` opens it before the back.

    doors (server, MQTT) -> desk -> models -> cache -> stages -> engine          see `serving.ask`

It starts first, so that somebody who asks too early gets an answer, and closes while the back still stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from edge_runtime.activate import Activator
from edge_runtime.by_hand import ByHand
from edge_runtime.canary import Canaries
from edge_runtime.ear import Mouth, hear_forgets, hear_questions
from edge_runtime.line import Line
from edge_runtime.metrics import Condition, OutboxCollector, metrics_page
from edge_runtime.posting import Outbox
from edge_runtime.sensors import Sensors
from edge_runtime.serving.cache.caches import Caches
from edge_runtime.serving.cache.metrics import CacheCollector
from edge_runtime.serving.desk import Desk
from edge_runtime.serving.metrics import LadderCollector
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.offload import offloads_of
from edge_runtime.serving.server import Server
from edge_runtime.serving.stages.staged import StageRoom
from edge_runtime.worker import Post
from toolkit.link.presets import PRESETS
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.topics import Topics


class Front:
    """One device's doors, and the models behind them."""

    def __init__(
        self,
        config: DeviceConfig,
        fingerprint: Fingerprint,
        post: Post,
        *,
        condition: Callable[[], Condition],
        outbox: Callable[[], Outbox | None],
        activator: Callable[[], Activator | None],
    ) -> None:
        """Put it together; nothing listens yet.

        Args:
            config: of the device.
            fingerprint: what the device is, for the page of metrics.
            post: hands work to the control thread.
            condition: how the device stands, for the page of metrics.
            outbox: where records are put down; None while there is none.
            activator: loads versions; None before the back of the house stands.

        Raises:
            TiersError: the address to serve on is not allowed.
        """
        self._config = config
        self.sensors = Sensors()
        self.stages = StageRoom()
        self._caches = Caches(config.models, Path(config.state) / "answers")
        self.table = ModelTable(config.models, self._caches.dress(self.stages.dress))
        self._offloads = offloads_of(config.models)
        self.desk = Desk(config.models, self.table, elsewhere=self._offloads, heat=self._heat)
        self._mouth: Mouth | None = None
        self.canaries = Canaries(self.table)
        others = (CacheCollector(self._caches), LadderCollector(self.desk), OutboxCollector(outbox))
        self._server = Server(
            config.serving,
            self.table,
            metrics_page(self.table, fingerprint, condition, *others),
            desk=self.desk,
            repository=ByHand(self.table, post, activator),
            outbox=outbox,
        )

    @property
    def port(self) -> int:
        """The TCP port that it serves on; 0 when it has none."""
        return self._server.port

    async def open(self) -> None:
        """Listen.

        Raises:
            TiersError: the port or the socket cannot be had.
        """
        self.sensors.start()
        await self._server.start()
        self.desk.start()

    def hear(self, line: Line, topics: Topics, loop: asyncio.AbstractEventLoop) -> None:
        """Take from the broker what caches shall forget, and questions where the site wants that."""
        config = self._config
        hear_forgets(line, topics, loop, self._caches)
        if config.serving.mqtt:
            most = PRESETS[config.broker.preset].max_payload_bytes
            self._mouth = hear_questions(line, topics, config.device, loop, self._server.respond, most)

    async def close(self) -> None:
        """Answer what has come in, then close doors, models and what lies around them."""
        self.sensors.stop()
        await self._server.stop()
        await self.desk.stop()
        for offload in self._offloads.values():
            await offload.close()
        if self._mouth is not None:
            self._mouth.close()
        await self.table.close()
        await self._caches.close()
        self.stages.close()

    def _heat(self) -> tuple[float | None, bool | None]:
        latest = self.sensors.latest
        return latest.hottest_celsius, latest.throttled
