"""The loop of whoever takes messages of devices: what has come since the last look, in one go.

`inbox` takes them one by one, `records` many together because one flush serves all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Final

from toolkit.link.link import Arrived, Disconnected, Link

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25


def batches(
    link: Link,
    stop: threading.Event,
    *,
    most: int,
    ready: Callable[[], None] | None = None,
    beat: Callable[[], None] | None = None,
) -> Iterator[list[Arrived]]:
    """Give what arrives until `stop` is set, waiting for the first message of each batch only.

    A broker that is away is waited for; the log says so.

    Args:
        link: subscribed and connected.
        stop: set by whoever wants it to end.
        most: messages of one batch.
        ready: called whenever it is connected.
        beat: called again and again.
    """
    while not stop.is_set():
        if beat is not None:
            beat()
        arrived: list[Arrived] = []
        try:
            event = link.events.get(timeout=POLL_SECONDS)
            while True:
                if isinstance(event, Arrived):
                    arrived.append(event)
                elif isinstance(event, Disconnected):
                    log.warning("the broker is away: %s", event.reason)
                elif ready is not None:
                    ready()
                if len(arrived) >= most:
                    break
                event = link.events.get_nowait()
        except Empty:
            pass
        if arrived:
            yield arrived
