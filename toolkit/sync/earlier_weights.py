"""Which file of the target's last state are weights an earlier version of: `drifting` asks for each large file.

A training writes `last.ckpt` again and again, or a new file for each checkpoint, and then only numbers of its path
differ: of the folder (`checkpoint-500/model.safetensors`) or of the name (`epoch=3-step=4000.ckpt`). A wrong guess
costs bytes: what has not drifted from its base goes whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort

from toolkit.errors import IntegrityError, MissingObjectError, UnsafePathError
from toolkit.wire.chunk import WEIGHTS_FROM_BYTES
from toolkit.wire.entry import Entry
from toolkit.wire.tree import Tree

_NUMBER = re.compile(rb"[0-9]+")
_Key = tuple[tuple[int, ...], bytes]
"""The numbers of a path, and the path."""


class EarlierWeights:
    """The large files of one state. For one thread."""

    def __init__(self, old: Tree) -> None:
        """Stand on what the route had brought before; it is looked through when a path is not in it."""
        self._old = old
        self._alike: dict[tuple[bytes, bytes], list[_Key]] | None = None

    def of(self, path: bytes) -> Entry | None:
        """Give the earlier version of a file.

        This is the one at its path, or that of the same name in a folder of which only numbers differ, or that in the
        same folder of which only numbers of the name do; of several the last before it, else the first after it.
        """
        try:
            entry = self._old.get(path)
            if entry is not None:
                return entry
            if self._alike is None:
                self._alike = self._look()
            for group in _groups(path):
                known = self._alike.get(group)
                if known:
                    place = bisect_left(known, _key(path))
                    return self._old.get(known[max(place - 1, 0)][1])
        except (IntegrityError, MissingObjectError, UnsafePathError):
            pass  # whoever needs that index finds out about it
        return None

    def _look(self) -> dict[tuple[bytes, bytes], list[_Key]]:
        found: dict[tuple[bytes, bytes], list[_Key]] = {}
        for entry in self._old.entries:
            if entry.kind == "file" and entry.size >= WEIGHTS_FROM_BYTES:
                for group in _groups(entry.path):
                    insort(found.setdefault(group, []), _key(entry.path))
        return found


def _groups(path: bytes) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Name what the path is alike to, the better likeness first; the two never have one name."""
    folder, _, name = path.rpartition(b"/")
    return (b"folder " + _NUMBER.sub(b"#", folder), name), (b"name " + folder, _NUMBER.sub(b"#", name))


def _key(path: bytes) -> _Key:
    return tuple(int(number) for number in _NUMBER.findall(path)), path
