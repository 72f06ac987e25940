"""Types that msgspec has learnt before two threads want them. For `document` and whoever decodes by itself.

msgspec learns how a struct looks when it is first decoded, and leaves what it has so far where other threads find it.
One that decodes the same type at that moment reads a null pointer, and the process is gone: SIGSEGV with msgspec 0.22,
four times in a day of tests, once in a depot that steers, whose two threads read the same kinds of documents. So one
thread at a time learns, and nobody decodes before.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

_learnt: set[type[msgspec.Struct]] = set()
_lock = threading.RLock()


def learn(kind: type[S]) -> type[S]:
    """Let msgspec learn a type and all that it is made of; give it back, for `decode(data, type=learn(A))`."""
    if kind not in _learnt:
        with _lock:
            msgspec.msgpack.Decoder(kind)  # of either encoding: what is learnt stays with the type
            _learnt.add(kind)
    return kind
