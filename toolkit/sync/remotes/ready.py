"""Make an object ready before it is written, so that its plain bytes need not be held while it travels.

`layouts.packs` hands each finished pack over here and lets it wait for the line in the form that comes back. Most
Remotes send what they were given; `encrypted` sends something else: who held both would hold every pack twice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

from toolkit.sync.remotes.remote import Remote


@runtime_checkable
class MakesReady(Protocol):
    """A Remote that sends other bytes than it is given."""

    def made_ready(self, key: str, data: bytes, *, new: bool) -> Callable[[], object]:
        """Do what `made_ready` below says."""
        ...


def made_ready(remote: Remote, key: str, data: bytes, *, new: bool) -> Callable[[], object]:
    """Give what writes an object when it is called, once or again; it holds the object only as it travels.

    Args:
        remote: where it goes.
        key: its name.
        data: its plain bytes.
        new: as `Remote.write_new` does it, else as `Remote.write`.

    Raises:
        what the Remote raises when it is asked for the first time. What comes back raises what writing does.
    """
    if isinstance(remote, MakesReady):
        return remote.made_ready(key, data, new=new)
    return partial(remote.write_new if new else remote.write, key, data)
