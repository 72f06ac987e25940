"""Names of one and the same file in an index: found by `scan`, kept right when entries are left out or put together.

Each name has the file's chunks and facts, so an index can always be read as if every name were a file of its own; that
they are one is only said by `extras.same`, the first name's path, which the first name carries too. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.wire.extras import Extras
from toolkit.wire.index import Entry


def with_names(entries: Sequence[Entry], files: Iterable[Sequence[bytes]]) -> list[Entry]:
    """Say in sorted entries which names belong together.

    Args:
        entries: in order of path.
        files: the paths that each file with several names was seen at; those that were not taken do not count.
    """
    same = {path: min(paths) for paths in files if len(paths) > 1 for path in paths}
    if not same:
        return list(entries)
    return regrouped([_called(entry, same[entry.path]) if entry.path in same else entry for entry in entries])


def regrouped(entries: Sequence[Entry]) -> list[Entry]:
    """Choose first names anew, after entries were left out, moved or mixed with older ones; in order of path.

    Names whose facts differ are not of one file any more, and a name that is alone is a plain file.
    """
    groups: dict[tuple[bytes, Entry], list[int]] = {}
    for position, entry in enumerate(entries):
        if entry.extras is not None and entry.extras.same:
            facts = msgspec.structs.replace(entry, path=b"")
            groups.setdefault((entry.extras.same, facts), []).append(position)
    if not groups:
        return list(entries)
    result = list(entries)
    for positions in groups.values():
        first = entries[positions[0]].path if len(positions) > 1 else b""
        for position in positions:
            result[position] = _called(entries[position], first)
    return result


def moved_below(entry: Entry, folder: bytes) -> Entry:
    """Give an entry with its path, and that of its first name, below another folder."""
    entry = msgspec.structs.replace(entry, path=folder + b"/" + entry.path)
    first = first_name(entry)
    return _called(entry, folder + b"/" + first) if first else entry


def first_name(entry: Entry) -> bytes:
    """Give the path of the first name of a file with several, else nothing."""
    return entry.extras.same if entry.extras is not None else b""


def is_later_name(entry: Entry) -> bool:
    """Say whether this is a name of a file that has an earlier one."""
    return first_name(entry) not in (b"", entry.path)


def as_altered(entry: Entry, altered: Mapping[bytes, Entry]) -> Entry:
    """Give what stands in the place of an entry when some, and with them all names of their files, are others."""
    instead = altered.get(entry.path) or altered.get(first_name(entry))
    return msgspec.structs.replace(instead, path=entry.path) if instead is not None else entry


def _called(entry: Entry, first: bytes) -> Entry:
    old = entry.extras or Extras()
    if old.same == first:
        return entry
    extras = Extras(holes=old.holes, same=first, xattrs=old.xattrs)
    return msgspec.structs.replace(entry, extras=extras if extras != Extras() else None)
