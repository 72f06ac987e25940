"""What brings a job's data to its tier: the tasks of the part `stage`, and the folders and Secrets that its pod sees.

Between `routes` and `job_template`, and `ahead` for data that come ahead of need. The last task leads from the tier
that `data` names to the job's own; before it stand the routes on demand that bring the same path back to that tier, so
that data which was archived since the job was written comes all the same. `cloud_jobs.stage` carries them out. A pod
sees folders of machines under names of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from toolkit.errors import RenderError, UsageError
from toolkit.placement import place_job
from toolkit.render.storage import STORAGE_FOLDER, PodVolume, storage_mounts, volume_of
from toolkit.routes import place_of, recall_tasks
from toolkit.sync.recall import ways_to
from toolkit.sync.task import Storage, SyncTask
from toolkit.topology.flow import STAGE, part_of
from toolkit.topology.names import TIER_NAMES, TierName
from toolkit.topology.topology import Topology

TASKS_FOLDER, TASKS_FILE = "/etc/tiers/tasks", "tasks.json"
"""Where pods find the tasks that they carry out; no folder above those of logins and keys, because nothing can be
mounted inside what is mounted read-only."""
_FOLDERS: Mapping[str, str] = {
    "edge": "/tiers/edge",
    "hot": "/tiers/hot",
    "warm": "/tiers/warm",
    "cold": "/tiers/cold",
}
"""Where staging sees the storages that are folders, but for that of the job's tier, which has the place it has in a
gang."""


@dataclass(frozen=True)
class Folder:
    """A folder that a container sees, of the machine or of a claim, or a Secret."""

    name: str
    volume: PodVolume
    inside: str
    read_only: bool


def stage_tasks(topology: Topology, job: str) -> tuple[tuple[SyncTask, ...], tuple[Folder, ...]]:
    """Give the tasks that bring a job's data to its tier, as its pod sees the places, and what the pod has to see.

    Raises:
        RenderError: the job has no data, or a tier has no storage.
    """
    data = topology.jobs[job].data
    if data is None:
        raise RenderError(f"jobs.{job} has no data to stage", hint=f"write jobs.{job}.data")
    home = place_job(topology, job).tier
    before = ways_to(_recalls(topology, data.path), data.source)
    used = {data.source, home, *(task.source.tier for task in before)}
    tiers = [tier for tier in TIER_NAMES if tier in used]
    places: dict[str, Storage] = {tier: _inside(topology, job, tier, home) for tier in tiers}
    seen = tuple(
        msgspec.structs.replace(
            task,
            source=places[task.source.tier],
            targets=(places[task.targets[0].tier],),
            trigger="schedule",
        )
        for task in before
    )
    last = SyncTask(
        route=part_of(job, STAGE), source=places[data.source], targets=(places[home],), path=data.path
    )
    written = {home, *(task.targets[0].tier for task in before)}
    return (*seen, last), tuple(_mounts(topology, tiers, home, written))


def ahead_task(topology: Topology, job: str) -> tuple[SyncTask, tuple[Folder, ...]]:
    """Give the task that brings a job's data while it reads, as its pods see the places, and what they have to see.

    Nothing stands before it: no route empties its source (E0533).

    Raises:
        RenderError: the job has no data, or a tier has no storage.
    """
    data = topology.jobs[job].data
    if data is None:
        raise RenderError(f"jobs.{job} has no data to bring", hint=f"write jobs.{job}.data")
    home = place_job(topology, job).tier
    tiers = [tier for tier in TIER_NAMES if tier in {data.source, home}]
    places = {tier: _inside(topology, job, tier, home) for tier in tiers}
    task = SyncTask(
        route=part_of(job, "ahead"), source=places[data.source], targets=(places[home],), path=data.path
    )
    return task, tuple(_mounts(topology, tiers, home, {home}))


def tiers_of_data(topology: Topology, job: str) -> tuple[TierName, ...]:
    """Name the tiers whose storages a job's pods call: its own, and those that its data come from."""
    data, home = topology.jobs[job].data, place_job(topology, job).tier
    used = {home}
    if data is not None:
        before = ways_to(_recalls(topology, data.path), data.source) if data.bring == "whole" else ()
        used |= {data.source, *(task.source.tier for task in before)}  # type: ignore[arg-type]  # tasks name tiers
    return tuple(tier for tier in TIER_NAMES if tier in used)


def _recalls(topology: Topology, path: str) -> tuple[SyncTask, ...]:
    try:
        return recall_tasks(topology, path)
    except UsageError:
        return ()  # no route on demand covers it


def _inside(topology: Topology, job: str, tier: TierName, home: TierName) -> Storage:
    """Give a tier's storage as the pod sees it."""
    storages = topology.tiers[tier].storage
    if not storages:
        raise RenderError(
            f"jobs.{job}.data: the tier {tier} has no storage", hint=f"write tiers.{tier}.storage"
        )
    place = place_of(tier, storages[0])
    if volume_of(tier, storages[0]) is None:
        return place
    return msgspec.structs.replace(place, url=f"file://{_folder(tier, home)}")


def _folder(tier: TierName, home: TierName) -> str:
    return STORAGE_FOLDER if tier == home else _FOLDERS[tier]


def _mounts(topology: Topology, tiers: list[TierName], home: TierName, written: set[str]) -> Iterator[Folder]:
    for tier in tiers:
        volume = volume_of(tier, topology.tiers[tier].storage[0])
        if volume is not None:
            name = "storage" if tier == home else tier
            yield Folder(name, volume, _folder(tier, home), read_only=tier not in written)
    for mount in storage_mounts((tier, topology.tiers[tier].storage[0]) for tier in tiers):
        if mount.kind == "secret":
            yield Folder(mount.name, PodVolume(mount.kind, mount.volume), mount.path, read_only=True)
