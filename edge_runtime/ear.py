"""How messages reach the event loop: an `Ear` hands them over past the control thread, a bounded number at a time.

`line` knows which topics have an ear, control's pump calls it, and a coroutine of the daemon's loop takes the message.
What decides about installations stays with `control`; an ear is for what concerns answers alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from edge_runtime.line import Line
from edge_runtime.serving.cache.caches import Caches
from edge_runtime.serving.mqtt_door import DoorLimits, MqttDoor, Respond
from toolkit.errors import TiersError
from toolkit.link.link import Arrived, Letter
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)
HANDED_OVER: Final = 64
"""Messages that may wait for the loop; more slow the link's reading down, and with it the broker."""
Take = Callable[[Arrived], Coroutine[Any, Any, None]]


class Ear:
    """Called with each message, on any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Take) -> None:
        """Hand messages to `take`, which bounds for itself how many it works on."""
        self._loop = loop
        self._take = take
        self._gate = threading.Semaphore(HANDED_OVER)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, message: Arrived) -> None:
        """Hand a message over; waits while too many wait."""
        self._gate.acquire()
        try:
            self._loop.call_soon_threadsafe(self._begin, message)
        except RuntimeError:  # the loop is closed: the daemon ends
            self._gate.release()

    def _begin(self, message: Arrived) -> None:
        self._gate.release()
        task = self._loop.create_task(self._take(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def hear_forgets(line: Line, topics: Topics, loop: asyncio.AbstractEventLoop, caches: Caches) -> None:
    """Let caches hear what shall be forgotten of each model whose answers are kept."""

    async def take(message: Arrived) -> None:
        await caches.heard(message.topic.rpartition("/")[2], message.payload)

    ear = Ear(loop, take)
    for model in caches.models:
        line.hear(topics.forget(model), ear)


class Mouth:
    """Publishes answers on a thread of its own, because a slow link makes whoever publishes wait."""

    def __init__(self, line: Line) -> None:
        """Speak on this line."""
        self._line = line
        self._thread = ThreadPoolExecutor(1, "mqtt-answers")

    async def say(self, topic: str, payload: bytes, letter: Letter) -> None:
        """Publish; what the broker does not take is lost, and logged."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._line.answer, topic, payload, letter)
        except (TiersError, RuntimeError) as error:  # the latter when the daemon ends
            log.warning("an answer over MQTT is lost: %s", error)

    def close(self) -> None:
        """End the thread; what waits is not sent."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def hear_questions(
    line: Line,
    topics: Topics,
    device: str,
    loop: asyncio.AbstractEventLoop,
    respond: Respond,
    most_bytes: int,
) -> Mouth:
    """Open the door of MQTT: questions to this device are answered.

    Args:
        line: on which they come and are answered.
        topics: of the site.
        device: whose questions.
        loop: on which they are answered.
        respond: answers requests.
        most_bytes: largest payload that the broker takes.
    """
    mouth = Mouth(line)
    door = MqttDoor(topics, device, respond, mouth.say, DoorLimits(payload_bytes=most_bytes))
    line.hear(topics.questions(device), Ear(loop, door.take))
    return mouth
