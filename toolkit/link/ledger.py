"""What a link has handed over and the broker has not confirmed; each MQTT link keeps one.

The owner's thread writes entries, the network thread reports what is through. Its reports come from inside paho's
callbacks, where paho holds locks of its own, so `confirm` takes no lock of ours: it appends to a deque and sets an
event, and the owner's thread does the accounts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.link.link import Letter


@dataclass(frozen=True)
class Sent:
    """A message that is on its way."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    letter: Letter | None = None


class Ledger:
    """Messages by the number that the client gave them. Negative numbers wait for a client."""

    def __init__(self) -> None:
        """Begin with nothing on its way."""
        self._lock = threading.Lock()
        self._entries: dict[int, Sent] = {}
        self._bytes = 0
        self._waiting = 0
        self._confirmed: deque[int] = deque()
        self._changed = threading.Event()

    def send(self, sent: Sent, send: Callable[[Sent], int] | None) -> None:
        """Hand a message over and enter it; without a client (None) it waits for `resend`."""
        with self._lock:
            # Under the lock, so that a confirmation that is faster than us is not read before the entry stands.
            if send is None:
                self._waiting -= 1
            number = send(sent) if send else self._waiting
            self._entries[number] = sent
            self._bytes += len(sent.payload)

    def confirm(self, number: int) -> None:
        """Note that a message is through; for the network thread."""
        self._confirmed.append(number)
        self._changed.set()

    def drop_unsure(self) -> None:
        """Forget the QoS 0 messages that a lost connection took with it."""
        with self._lock:
            self._settle()
            for number in [number for number, sent in self._entries.items() if sent.qos == 0]:
                self._bytes -= len(self._entries.pop(number).payload)
        self._changed.set()

    def resend(self, send: Callable[[Sent], int]) -> None:
        """Hand everything to a new client, in the same order, under the numbers that it gives."""
        with self._lock:
            self._settle()
            self._entries = {send(sent): sent for sent in self._entries.values()}

    def wait(self, enough: Callable[[int, int], bool], seconds: float) -> bool:
        """Wait until `enough(messages, bytes)` holds for what is on its way; False if that took longer."""
        self._changed.clear()
        with self._lock:
            self._settle()
            if enough(len(self._entries), self._bytes):
                return True
        self._changed.wait(max(seconds, 0))
        with self._lock:
            self._settle()
            return enough(len(self._entries), self._bytes)

    def _settle(self) -> None:
        while self._confirmed:
            sent = self._entries.pop(self._confirmed.popleft(), None)
            if sent is not None:
                self._bytes -= len(sent.payload)
