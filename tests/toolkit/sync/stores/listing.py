"""A tree as text, one line a path, without our code: what is committed beside a store, and what a restore must give."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import quote_from_bytes

from blake3 import blake3

_LONG = 1000


def as_text(trees: dict[str, str]) -> str:
    """Put the listings of all Refs of a store into one text; of long ones only the digest."""
    parts = []
    for ref, tree in sorted(trees.items()):
        lines = tree.count("\n")
        short = f"{lines} lines with the digest {blake3(tree.encode()).hexdigest()}\n"
        parts.append(f"# {ref}\n{tree if lines < _LONG else short}")
    return "".join(parts)


def listing(root: Path) -> str:
    """List everything below a folder but our sidecar: kind, mode, time, size, digest, what is beyond, and the path."""
    rows: list[tuple[bytes, str]] = []
    firsts: dict[int, bytes] = {}
    below = [b""]
    while below:
        at = below.pop()
        for item in os.scandir(os.path.join(os.fsencode(root), at)):  # noqa: PTH118 -- paths are bytes
            path = at + b"/" + item.name if at else item.name
            if path == b".tiers":
                continue
            facts = item.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                below.append(path)
            elif facts.st_nlink > 1:
                firsts[facts.st_ino] = min(path, firsts.get(facts.st_ino, path))
            rows.append((path, _row(item.path, facts)))
    lines = []
    for path, row in sorted(rows):
        facts = os.lstat(os.path.join(os.fsencode(root), path))  # noqa: PTH118
        first = (
            firsts.get(facts.st_ino, b"") if facts.st_nlink > 1 and not stat.S_ISDIR(facts.st_mode) else b""
        )
        same = f" same={quote_from_bytes(first)}" if first else ""
        lines.append(f"{row}{same} {quote_from_bytes(path)}\n")
    return "".join(lines)


def _row(path: bytes, facts: os.stat_result) -> str:
    if stat.S_ISLNK(facts.st_mode):
        return f"link {facts.st_mtime_ns} to={quote_from_bytes(os.readlink(path))}"  # noqa: PTH115 -- the same
    attributes = "".join(
        f" {name}={os.getxattr(path, name).hex()}"
        for name in sorted(os.listxattr(path))
        if name.startswith(("user.", "system.posix"))
    )
    if stat.S_ISDIR(facts.st_mode):
        return f"folder {stat.S_IMODE(facts.st_mode):o} {facts.st_mtime_ns}{attributes}"
    holes = " holes" if facts.st_blocks * 512 < facts.st_size else ""
    with open(path, "rb") as file:  # noqa: PTH123 -- the path is bytes
        digest = blake3(file.read()).hexdigest()
    return f"file {stat.S_IMODE(facts.st_mode):o} {facts.st_mtime_ns} {facts.st_size} {digest}{holes}{attributes}"
