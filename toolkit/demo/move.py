"""Last step of the demo: what an edge device collected goes edge -> hot -> warm -> cold, twice.

Real DICOM files and a generated tree; between the two runs three files change by one byte each.
"""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.demo.evidence import Evidence
from toolkit.demo.material import edit_a_few, lay_out_frames
from toolkit.demo.site import Site
from toolkit.errors import IntegrityError, SyncError

HOPS = ("demo-1", "demo-2", "demo-3")
MOST_AGAIN = 0.05
"""Share of the first run's bytes that the second may move, after three files of more than 500 have changed."""
_MIB = 1024 * 1024
_SAMPLE = 256
"""Bytes from the beginning of a file that are looked for."""


def move(site: Site, evidence: Evidence) -> None:
    """Add a row for each of the two runs.

    Raises:
        CommandFailedError: a hop failed.
        SyncError: the second run moved more than it should.
        IntegrityError: what arrived in warm is not what the edge holds, or cold can be read without the key.
    """
    source = site.folder / "data" / "edge" / "frames"
    files = lay_out_frames(source)
    for tier in ("hot", "warm", "warm-copy", "cold"):
        (site.folder / "data" / tier).mkdir(exist_ok=True)
    site.commands.ask("sync", "keygen", str(site.archive_key))
    first = [_hop(site, route) for route in HOPS]
    moved = sum(each["bytes_moved"] for each in first)
    evidence.good("sync, first", f"{files} files over three hops, {moved / _MIB:.1f} MiB moved", hops=first)
    changed = edit_a_few(source)
    second = [_hop(site, route) for route in HOPS]
    again = sum(each["bytes_moved"] for each in second)
    if not 0 < again <= MOST_AGAIN * moved:
        raise SyncError(
            f"the second run moved {again} bytes after {moved} in the first; {changed} files had changed"
        )
    here = {path.relative_to(source): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    warm = site.folder / "data" / "warm" / "frames"
    if any((warm / path).read_bytes() != data for path, data in here.items()):
        raise IntegrityError("warm does not hold what the edge holds")
    _see_that_cold_is_unreadable(site, here.values())
    evidence.good(
        "sync, second",
        f"{changed} files changed, {again / 1024:.0f} KiB moved, {again / moved:.2%} of the first; "
        "warm equals edge, cold is encrypted",
        hops=second,
    )


def _see_that_cold_is_unreadable(site: Site, contents: Iterable[bytes]) -> None:
    """Look for what the edge holds in the bytes that rest in the archive."""
    rests = b"".join(
        path.read_bytes() for path in (site.folder / "data" / "cold").rglob("*") if path.is_file()
    )
    if not rests or any(data[:_SAMPLE] in rests for data in contents if len(data) >= _SAMPLE):
        raise IntegrityError("whoever keeps the cold tier can read what is in it")


def _hop(site: Site, route: str) -> dict[str, int]:
    answer = site.commands.ask("sync", "run", route, *site.files)
    targets = answer.get("targets")
    moved = sum(int(each["bytes_moved"]) for each in targets) if isinstance(targets, list) else 0
    numbers = {name: value for name, value in answer.items() if isinstance(value, int)}
    return {**numbers, "bytes_moved": moved}
