"""Do the versions fit each other: Kubernetes, Volcano, KubeEdge, kubelets, and this tiers? One check a function.

Sources: Kubernetes' version skew policy (a kubelet may be three minor versions older than its API server, never newer);
the tables in the READMEs of volcano-sh/volcano and kubeedge/kubeedge at the tags named below; KubeEdge's release notes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from toolkit.cluster.applyset import TOOL, TOOLING_ANNOTATION, annotations_of, applyset_of
from toolkit.cluster.doctor.finding import Ailment, error, some, warning
from toolkit.cluster.doctor.patient import Part, Patient, Version, shown, tag_of, version_of
from toolkit.errors import Problem
from toolkit.lint.document import mapping, text
from toolkit.topology.kubeedge_version import is_fixed

Minor = tuple[int, int]
VOLCANO_UP_TO: Mapping[Minor, Minor] = {
    (1, 16): (1, 36),
    (1, 15): (1, 35),
    (1, 14): (1, 34),
    (1, 13): (1, 33),
}
"""Volcano → the newest Kubernetes of its compatibility table (README at v1.13.0 to v1.16.0-alpha.1)."""
VOLCANO_FROM: Minor = (1, 23)
"""The oldest Kubernetes of that table."""
OURS: Version = (1, 15, 0)
"""The Volcano that what we render is written for and tested with."""
KUBEEDGE_KUBELET: Mapping[Minor, Minor] = {
    (1, 23): (1, 32), (1, 22): (1, 31), (1, 21): (1, 30), (1, 20): (1, 30), (1, 19): (1, 29),
}  # fmt: skip
"""KubeEdge → the kubelet that EdgeCore is built from (go.mod at v1.19.2, v1.20.0, v1.21.2, v1.22.2, v1.23.1)."""
MOST_OLDER = 3
VOLCANO = {
    "scheduler": "^vc-scheduler$",
    "controllers": "^vc-controller-manager$",
    "webhook": "^vc-webhook-manager$",
}
"""Part of Volcano → name of its image."""
CLOUDCORE = "^cloudcore$"
_EDGE = "-kubeedge-"

NO_VOLCANO = error(
    "D101",
    "A part of Volcano is missing.",
    why="jobs and queues wait for ever",
    cure="install Volcano 1.15 by its chart",
)
NOT_RUNNING = error(
    "D102",
    "A part of Volcano has no pod that is available.",
    why="what it does is not done",
    cure="kubectl describe it; its pods say why",
)
UNTESTED_VOLCANO = warning(
    "D103",
    "Volcano was not tested with this Kubernetes.",
    why="Volcano was never tested with this Kubernetes; its informers and gates may miss what changed",
    cure="move Volcano to a version whose table has this Kubernetes",
)
OLD_VOLCANO = warning(
    "D104",
    "Volcano is older than the one that our objects are written for.",
    why="fields and actions that we render may be unknown to it",
    cure="move Volcano to 1.15 or newer",
)
MIXED_VOLCANO = error(
    "D105",
    "The parts of Volcano have different versions.",
    why="webhook and controllers take objects that the scheduler reads otherwise",
    cure="give all three images of Volcano one version",
)
OLD_KUBELET = error(
    "D106",
    "A kubelet, or the one that KubeEdge brings, is too old for the API server.",
    why="Kubernetes promises nothing beyond three minor versions; pods there may stop to start",
    cure="move the nodes up, three minor versions at most behind the API server",
)
NEW_KUBELET = error(
    "D107",
    "A kubelet is newer than the API server.",
    why="it asks the API server for what that does not have",
    cure="move the API server up first, then the nodes",
)
UNFIXED_KUBEEDGE = warning(
    "D108",
    "KubeEdge has known security holes.",
    why="devices or who steers them can be taken over (CVE-2026-62371, -62182, -62370)",
    cure="move KubeEdge to 1.23.1, 1.22.2 or 1.21.2",
)
EDGE_AHEAD = error(
    "D109",
    "EdgeCore on a device is newer than CloudCore.",
    why="EdgeCore speaks a protocol that CloudCore does not know yet",
    cure="move CloudCore up before EdgeCore",
)
OLDER_THAN_ITS_WORK = error(
    "D110",
    "A newer tiers applied last.",
    why="it would take away or change what the newer one wrote, without knowing why it is there",
    cure="install the newer tiers here too",
)

NO_SIDECARS = error(
    "D111",
    "Kubernetes is too old for data that come ahead of need.",
    why="what brings them would have to end before the worker starts, and it never ends: the gang would hold its GPUs "
    "and do nothing",
    cure="move Kubernetes to 1.29 or newer, or write bring: whole",
)
SIDECARS_FROM: Minor = (1, 29)
"""The first Kubernetes that lets init containers go on running without a gate being opened (SidecarContainers)."""


def tiers_is_not_older(patient: Patient) -> Iterator[Problem]:
    """This tiers is not older than the one that applied last."""
    ours = applyset_of(patient.topology.name, patient.connection.cluster, patient.objects)
    if ours is None:
        return
    parent = patient.config_map(ours.namespace, ours.name)
    tool, _, written = annotations_of(parent or {}).get(TOOLING_ANNOTATION, "").partition("/")
    here, there = version_of(version(TOOL)), version_of(written)
    if tool == TOOL and here and there and there > here:
        message = f"tiers {written} applied last, this is {version(TOOL)}"
        yield OLDER_THAN_ITS_WORK.at(f"ConfigMap {ours.namespace}/{ours.name}", message)


def volcano_is_there(patient: Patient) -> Iterator[Problem]:
    """Volcano's scheduler, controllers and webhook run, in one version."""
    wanted = patient.needs("volcano.sh")
    if not wanted:
        return
    found = _volcano(patient)
    for name in VOLCANO:
        if name not in found:
            yield NO_VOLCANO.at(f"Volcano's {name}", f"no Deployment runs it, and {some(wanted)} need it")
        elif not found[name].runs:
            yield NOT_RUNNING.at(found[name].title, "no pod of it is available")
    versions = {name: tag_of(each.image) for name, each in found.items()}
    if len({each for each in versions.values() if each}) > 1:
        said = ", ".join(f"{name} {shown(each)}" for name, each in versions.items() if each)
        yield MIXED_VOLCANO.at("Volcano", f"its parts have different versions: {said}")


def volcano_fits(patient: Patient) -> Iterator[Problem]:
    """Volcano knows this Kubernetes, and what we render."""
    scheduler = _volcano(patient).get("scheduler")
    volcano, kubernetes = tag_of(scheduler.image) if scheduler else None, version_of(patient.kubernetes)
    if scheduler is None or volcano is None or kubernetes is None:
        return
    newest = VOLCANO_UP_TO.get(volcano[:2])
    if newest and not VOLCANO_FROM <= kubernetes[:2] <= newest:
        message = f"Volcano {shown(volcano)} is tested up to Kubernetes {shown(newest)}; this is {patient.kubernetes}"
        yield UNTESTED_VOLCANO.at(scheduler.title, message)
    if volcano < OURS:
        message = f"Volcano {shown(volcano)}; what we render is written for {shown(OURS[:2])}"
        yield OLD_VOLCANO.at(scheduler.title, message)


def sidecars_can_run(patient: Patient) -> Iterator[Problem]:
    """Kubernetes knows init containers that go on running, where a job needs one."""
    topology = patient.topology
    jobs = [
        f"job {name}"
        for name, job in topology.jobs.items()
        if job.data is not None
        and job.data.bring == "ahead"
        and topology.cluster_of(topology.pool(job.pool)) == patient.connection.cluster
    ]
    server = version_of(patient.kubernetes)
    if jobs and server is not None and server[:2] < SIDECARS_FROM:
        message = f"this is {patient.kubernetes}, and {some(jobs)} would wait for what never ends"
        yield NO_SIDECARS.at("Kubernetes", message)


def kubelets_fit(patient: Patient) -> Iterator[Problem]:
    """No kubelet is newer than the API server, or more than three minor versions older."""
    server = version_of(patient.kubernetes)
    groups: dict[str, list[str]] = defaultdict(list)
    for node in patient.nodes:
        groups[_kubelet(node)].append(text(mapping(node.get("metadata")).get("name")))
    for written, names in sorted(groups.items()):
        kubelet = version_of(written)
        if kubelet is None or server is None:
            continue
        ailment = _skew(kubelet, server)
        if ailment:
            message = (
                f"{len(names)} with kubelet {written}, the API server is {patient.kubernetes}: {some(names)}"
            )
            yield ailment.at("nodes", message)


def kubeedge_fits(patient: Patient) -> Iterator[Problem]:
    """KubeEdge's kubelet fits the API server, its known holes are closed, and no device is ahead of the cloud."""
    part = patient.part(CLOUDCORE)
    cloud, server = tag_of(part.image) if part else None, version_of(patient.kubernetes)
    if part is None or cloud is None or server is None:
        return
    kubelet = KUBEEDGE_KUBELET.get(cloud[:2])
    ailment = _skew((*kubelet, 0), server) if kubelet else None
    if kubelet and ailment:
        message = (
            f"KubeEdge {shown(cloud)} brings kubelet {shown(kubelet)}, the API server is {patient.kubernetes}"
        )
        yield ailment.at(part.title, message)
    if not is_fixed(cloud):
        yield UNFIXED_KUBEEDGE.at(part.title, f"KubeEdge {shown(cloud)} has known holes")
    ahead = [
        f"{text(mapping(node.get('metadata')).get('name'))} ({shown(edge)})"
        for node in patient.nodes
        if (edge := edge_version(_kubelet(node))) and edge[:2] > cloud[:2]
    ]
    if ahead:
        yield EDGE_AHEAD.at(part.title, f"CloudCore is {shown(cloud)}, newer are {some(ahead)}")


def edge_version(kubelet: str) -> Version | None:
    """Read KubeEdge's version from a node's kubelet version: v1.32.10-kubeedge-v1.23.1."""
    _, sign, rest = kubelet.partition(_EDGE)
    return version_of(rest) if sign else None


def facts(patient: Patient) -> Iterator[tuple[str, str]]:
    """Give what was found: a part and its version."""
    yield "Kubernetes", patient.kubernetes
    for name, each in _volcano(patient).items():
        yield f"Volcano's {name}", each.image
    cloud = patient.part(CLOUDCORE)
    if cloud:
        yield "CloudCore", cloud.image
    counted: dict[str, int] = defaultdict(int)
    for node in patient.nodes:
        counted[_kubelet(node)] += 1
    for written, number in sorted(counted.items()):
        yield "kubelet", f"{written or 'unknown'} on {number} nodes"


def _volcano(patient: Patient) -> dict[str, Part]:
    found = {name: patient.part(image) for name, image in VOLCANO.items()}
    return {name: each for name, each in found.items() if each}


def _kubelet(node: Mapping[str, object]) -> str:
    return text(mapping(mapping(node.get("status")).get("nodeInfo")).get("kubeletVersion"))


def _skew(kubelet: Version, server: Version) -> Ailment | None:
    if kubelet[:2] > server[:2]:
        return NEW_KUBELET
    return OLD_KUBELET if kubelet[0] < server[0] or server[1] - kubelet[1] > MOST_OLDER else None


CHECKS = (
    tiers_is_not_older,
    volcano_is_there,
    volcano_fits,
    sidecars_can_run,
    kubelets_fit,
    kubeedge_fits,
)
"""Every check of this subject."""
