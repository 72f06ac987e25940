"""Rules about volumes: where a claim can be, and who may share it.

Called by `load` through checks.every.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import listed
from toolkit.topology.nodes import Fields, Path, find
from toolkit.topology.storage import Claim, Storage

_SOURCES = ("local", "provisioner", "installed")


@dataclass(frozen=True)
class _Kept:
    """A storage and where it stands in the file."""

    path: Path
    home: str
    """Its tier, or `registry`."""
    first: bool
    """Whether gangs of the tier work on it."""
    storage: Storage


@dataclass(frozen=True)
class _User:
    """Who mounts a storage."""

    what: str
    pool: str
    pods: int


def storage_classes_have_one_source(site: Site) -> None:
    """E0206: volumes come from disks, from a driver, or from a class that is there."""
    for name, each in site.sound("storage_classes", site.topology.storage_classes):
        given = [key for key in _SOURCES if getattr(each, key) is not None]
        if len(given) != 1:
            said = f"both {given[0]} and {given[1]}" if given else f"none of {', '.join(_SOURCES)}"
            site.report("E0206", ("storage_classes", name), f"'{name}' has {said}", key=True)


def claims_can_be_mounted(site: Site) -> None:
    """E0904: only a folder can be a volume, and only servers mount one; E0903: a local disk is on one machine."""
    for kept in _storages(site):
        claim = kept.storage.claim
        if claim is None:
            continue
        path: Path = (*kept.path, "claim")
        if not kept.storage.url.startswith("file:"):
            site.report("E0904", path, f"{kept.storage.url} is not a folder", key=True)
        elif kept.home == "edge":
            site.report("E0904", path, "devices keep data on their own disks", key=True)
        kind = site.topology.storage_classes.get(claim.kind)
        if kind is not None and kind.local and claim.access == "ReadWriteMany":
            message = f"the class '{claim.kind}' is a disk of one machine"
            place: Path = (*path, "access") if find(site.root, (*path, "access")) else (*path, "class")
            site.report("E0903", place, f"{message}, the claim says ReadWriteMany")


def volumes_reach_who_needs_them(site: Site) -> None:
    """E0902: one machine at a time for ReadWriteOnce; E0905: one cluster for every claim."""
    for kept in _storages(site):
        claim = kept.storage.claim
        if claim is None or not kept.storage.url.startswith("file:"):
            continue
        users = list(_users(site, kept))
        _one_cluster(site, kept, users)
        _one_machine(site, kept, claim, users)


def _one_machine(site: Site, kept: _Kept, claim: Claim, users: list[_User]) -> None:
    if claim.access != "ReadWriteOnce" or sum(user.pods for user in users) <= 1:
        return
    pools, known = {user.pool for user in users}, site.pools()
    if len(pools) == 1 and all(pool in known and known[pool].pool.nodes.total == 1 for pool in pools):
        return
    named = listed(f"{user.what} ({user.pods} pods)" if user.pods > 1 else user.what for user in users)
    site.report("E0902", (*kept.path, "claim", "access"), f"{named} may run on several machines")


def _one_cluster(site: Site, kept: _Kept, users: list[_User]) -> None:
    used = {user.pool for user in users}
    clusters: set[str] = set()
    for placed in site.pools().values():
        if placed.tier_name == kept.home or placed.name in used:
            with suppress(KeyError):  # in no cluster: E0525 says so
                clusters.add(site.topology.cluster_of(placed))
    if len(clusters) > 1:
        message = f"it would be in the clusters {listed(sorted(clusters))}"
        site.report("E0905", (*kept.path, "claim"), message, key=True)


def _storages(site: Site) -> Iterator[_Kept]:
    for tier_name, tier in site.topology.tiers.items():
        path: Path = ("tiers", tier_name, "storage")
        several = not isinstance(find(site.root, path), Fields)
        for position, storage in enumerate(tier.storage):
            yield _Kept((*path, position) if several else path, tier_name, position == 0, storage)
    yield _Kept(("registry",), "registry", first=False, storage=site.topology.registry)


def _users(site: Site, kept: _Kept) -> Iterator[_User]:
    """Give who mounts a storage: the depot, agents whose routes begin or end there, and gangs of the tier."""
    topology = site.topology
    if kept.home == "registry" and topology.depot is not None:
        yield _User("the depot", topology.depot.pool, topology.depot.replicas)
    for tier_name, tier in topology.tiers.items():
        if tier.agent is None:
            continue
        touching = [
            name
            for name, route in site.sound("routes", topology.routes)
            if route.source == tier_name and kept.home in {route.source, route.target}
        ]
        if touching:
            yield _User(f"the agent of {tier_name}", tier.agent.pool, len(touching))
    homes = {name: placed.tier_name for name, placed in site.pools().items()}
    in_flows = {step for flow in topology.flows.values() for step in flow.steps}
    for name, job in site.sound("jobs", topology.jobs):
        if kept.first and homes.get(job.pool) == kept.home:
            yield _User(f"the job {name}", job.pool, job.gang.workers)
        elif kept.first and name in in_flows and job.data is not None and job.data.source == kept.home:
            yield _User(f"staging for the job {name}", job.pool, 1)
