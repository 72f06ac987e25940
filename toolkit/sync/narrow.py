"""Leave of a scan only what is asked for: what lies at a path and below it, or some files by name. Pure.

Between the source of a run and its targets; `run` keeps everything else in the targets as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from toolkit.sync.hard_links import regrouped
from toolkit.sync.scan import Scan
from toolkit.wire.index import Entry, Index


def at_and_below(found: Scan, path: bytes) -> Scan:
    """Give the part of a scan at and below a path, with the folders that lead to it; nothing when that is not there."""

    def is_asked(at: bytes) -> bool:
        return at == path or at.startswith(path + b"/")

    asked = [entry for entry in found.index.entries if is_asked(entry.path)]
    ways = [entry for entry in found.index.entries if asked and _leads_to(entry, path)]
    left_out = frozenset(filter(is_asked, found.left_out))
    return replace(found, index=Index(entries=(*ways, *asked)), left_out=left_out)


def listed(found: Scan, paths: Collection[bytes]) -> Scan:
    """Give the part of a scan that some paths name, without the folders that lead to it."""
    wanted = frozenset(paths)
    asked = tuple(entry for entry in found.index.entries if entry.path in wanted)
    return replace(found, index=Index(entries=tuple(regrouped(asked))), left_out=found.left_out & wanted)


def _leads_to(entry: Entry, path: bytes) -> bool:
    return entry.kind == "folder" and path.startswith(entry.path + b"/")
