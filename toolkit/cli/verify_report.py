"""What `tiers sync verify` reads and mends, and how it says so: routes at their targets, or whole stores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import Table, say

if TYPE_CHECKING:
    from toolkit.sync.task import Storage, SyncTask
    from toolkit.sync.verify import Verified
    from toolkit.sync.verify_store import StoreChecked
    from toolkit.topology.topology import Topology

_SHOWN = 20


@dataclass(frozen=True)
class Checked:
    """One place that was read: the target of a route, or a store."""

    place: Storage
    found: Verified | StoreChecked
    task: SyncTask | None = None


def read_all(
    topology: Topology, route: str, stores: list[str], share: str, to_dir: Path | None
) -> list[Checked]:
    """Read what is asked for.

    Raises:
        UsageError: nothing, or both, or a share that is none.
        SyncError: the route has brought nothing yet.
        RemoteUnavailableError: a place does not answer.
    """
    import time

    from toolkit.cli.logins import paced_remotes_of
    from toolkit.cli.stores import stores_of
    from toolkit.errors import UsageError
    from toolkit.routes import sync_task
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.task import with_folders
    from toolkit.sync.verify import verify_target
    from toolkit.sync.verify_store import check_store
    from toolkit.topology.units import Percent

    if bool(route) == bool(stores):
        raise UsageError(
            "name a route, or a store", hint="tiers sync verify ROUTE, or --store TIER --share 5%"
        )
    opened = paced_remotes_of(topology)
    if route:
        task = with_folders(sync_task(topology, route), target=to_dir)
        return [Checked(place, verify_target(task, place, opened), task) for place in task.targets]
    try:
        part = Percent.parse(share).fraction
    except ValueError as error:
        raise UsageError(f"--share {share}: {error}", hint="--share 5%") from error
    checked: list[Checked] = []
    for place in stores_of(topology, stores):
        found = check_store(PackStore(opened(place)), share=part, now_ms=time.time_ns() // 1_000_000)
        checked.append(Checked(place, found))
    return checked


def mend(topology: Topology, checked: Sequence[Checked]) -> None:
    """Mend each place that is damaged, and say what came of it. Errors as in `repair`."""
    from toolkit.cli.logins import paced_remotes_of
    from toolkit.cli.verify_copies import copies_for
    from toolkit.sync.layouts.mirror import MirrorTarget
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.remotes.choose import folder_of
    from toolkit.sync.repair import repair_mirror, repair_store

    for each in checked:
        if not each.found.damage:
            continue
        also = [each.task.source, *each.task.targets] if each.task else []
        copies = copies_for(topology, each.place, also)
        if each.place.layout == "mirror" and each.task is not None:
            with closing(MirrorTarget(folder_of(each.place.url), each.task)) as target:
                done = repair_mirror(target, copies)
        else:
            done = repair_store(PackStore(paced_remotes_of(topology)(each.place)), copies)
        for what in done.mended[:_SHOWN]:
            say(f"mended: {what}")
        for left in done.left[:_SHOWN]:
            say(f"left: {left}")


def summary(checked: Sequence[Checked]) -> Table:
    """Make the table for people."""
    from toolkit.cli.sync_report import amount
    from toolkit.sync.verify import Verified

    rows: list[tuple[object, ...]] = []
    for each in checked:
        found = each.found
        if isinstance(found, Verified):
            rows.append((found.url, found.files, amount(found.total_bytes), len(found.damage)))
        else:
            read = f"{amount(found.pack_bytes)} of {amount(found.all_bytes)}"
            rows.append((found.url, f"{found.packs} of {found.all_packs}", read, len(found.damage)))
    stores = checked and not isinstance(checked[0].found, Verified)
    return Table(
        ("store", "packs", "bytes", "damaged") if stores else ("target", "files", "bytes", "damaged"), rows
    )


def report_verify(checked: Sequence[Checked]) -> int:
    """Name all damage with its cure, and give the exit code."""
    for each in checked:
        for damage in each.found.damage[:_SHOWN]:
            say(f"damaged: {damage.what}: {damage.reason}")
        if len(each.found.damage) > _SHOWN:
            say(f"and {len(each.found.damage) - _SHOWN} more; --json lists them all")
        for cure in dict.fromkeys(damage.cure for damage in each.found.damage if damage.cure):
            say(f"  try: {cure}")
    return max((each.found.exit_code for each in checked), default=0)
