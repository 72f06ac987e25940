"""Rules about volumes: where a claim can be, and who may share it.

Called by `load` through checks.every.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import listed
from toolkit.topology.job import Job
from toolkit.topology.nodes import Fields, Path, find
from toolkit.topology.secret import SecretReference
from toolkit.topology.storage import Claim, Storage

_SOURCES = ("local", "provisioner", "installed")
_ONLY_FOR = (
    ("known_hosts", "known_hosts", "sftp"),
    ("endpoint", "endpoint", "s3"),
    ("region", "region", "s3"),
    ("ca", "ca", "s3"),
    ("class", "object_class", "s3"),
)
_THAWED_FIRST = {"GLACIER", "DEEP_ARCHIVE"}
"""Classes of S3 whose objects cannot be read before somebody has asked for them, hours before."""
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


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


def mirrors_are_folders(site: Site) -> None:
    """E0910: files lie as files only in a folder."""
    for kept in _storages(site):
        if kept.storage.layout == "mirror" and not kept.storage.url.startswith("file:"):
            site.report("E0910", (*kept.path, "layout"), f"{kept.storage.url} is not a folder")


def archives_are_encrypted(site: Site) -> None:
    """E0920: what rests on other people's machines is encrypted, or says aloud that it is not."""
    for kept in _storages(site):
        if (
            kept.home == "cold"
            and not kept.storage.url.startswith("file:")
            and kept.storage.encryption is None
        ):
            site.report("E0920", kept.path, f"{kept.storage.url} leaves this site and has no key", key=True)


def keys_have_something_to_encrypt(site: Site) -> None:
    """E0921: only packs are encrypted; E0922: a key is read from a file."""
    for kept in _storages(site):
        key = kept.storage.key
        if key is None:
            continue
        if kept.home == "registry":
            message = "devices and depots read the registry as it is; what is in it is signed, not secret"
            site.report("E0921", (*kept.path, "encryption"), message, key=True)
        elif kept.storage.kept_as == "mirror":
            site.report("E0921", (*kept.path, "encryption"), f"{kept.storage.url} is a mirror", key=True)
        if key.env:
            site.report("E0922", (*kept.path, "encryption", "key"), f"the variable {key.env} is no file")


def keys_fit_the_address(site: Site) -> None:
    """E0925: host keys are SSH's, regions and classes are S3's, and both are read from files."""
    for kept in _storages(site):
        scheme = kept.storage.url.partition(":")[0]
        for name, field, used_by in _ONLY_FOR:
            given = getattr(kept.storage, field)
            if given is not None and scheme != used_by:
                site.report("E0925", (*kept.path, name), f"{name} is for {used_by}:// only", key=True)
            elif isinstance(given, SecretReference) and given.env:
                site.report("E0922", (*kept.path, name), f"the variable {given.env} is no file")


def servers_are_known(site: Site) -> None:
    """E0926: a pod has no host keys but those that it is given."""
    for kept in _storages(site):
        storage = kept.storage
        in_pods = storage.credentials is not None and storage.credentials.secret is not None
        if storage.url.startswith("sftp:") and in_pods and storage.known_hosts is None:
            site.report("E0926", kept.path, f"{storage.url} has credentials and no known_hosts", key=True)


def nobody_reads_on_the_way(site: Site) -> None:
    """E0927: over plain http everybody on the way could read the data."""
    for kept in _storages(site):
        endpoint, where = kept.storage.endpoint or "", urlsplit(kept.storage.endpoint or "").hostname
        if endpoint.startswith("http:") and kept.storage.key is None and where not in _LOOPBACK:
            site.report("E0927", (*kept.path, "endpoint"), f"{endpoint} has no certificate")


def packs_can_be_read(site: Site) -> None:
    """E0928: packs are read at any time: their trailers by each run, their chunks by verify and recall."""
    for kept in _storages(site):
        if kept.storage.object_class in _THAWED_FIRST:
            message = f"objects of {kept.storage.object_class} cannot be read when they are needed"
            site.report("E0928", (*kept.path, "class"), message)


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
    """Give who mounts a storage: the depot, agents whose routes touch it, the rules, and gangs of the tier."""
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
    if topology.lifecycle.pool is not None and kept.home in {"hot", "warm", "cold"}:
        yield _User("the rules of lifecycle", topology.lifecycle.pool, 1)
    homes = {name: placed.tier_name for name, placed in site.pools().items()}
    in_flows = {step for flow in topology.flows.values() for step in flow.steps}
    for name, job in site.sound("jobs", topology.jobs):
        if kept.first and homes.get(job.pool) == kept.home:
            yield _User(f"the job {name}", job.pool, job.gang.workers)
        elif kept.first and job.data is not None and job.data.source == kept.home:
            yield from _bringing(name, job, in_flow=name in in_flows)


def _bringing(name: str, job: Job, *, in_flow: bool) -> Iterator[_User]:
    """Give the pods that read a job's data where they come from."""
    if job.data is not None and job.data.bring == "ahead":
        yield _User(f"the job {name}", job.pool, job.gang.workers)
    elif in_flow:
        yield _User(f"staging for the job {name}", job.pool, 1)
