"""Volcano Jobs whose tasks, plugins or volumes the cluster would refuse. One rule a function.

The rules are those of Volcano's own webhook and of its CRD (volcano-sh/volcano v1.15.1,
pkg/webhooks/admission/jobs/validate; config/crd). Beside this file: `job_policies`, `job_names`, `job_queue` and the
`pod_*` files for the pod template; `gang_fit` and `gang_starts` hold what no webhook refuses; `check` runs them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text, written
from toolkit.lint.gang_document import (
    is_gang,
    job_minimum,
    plugin_flags,
    plugins,
    pods_of,
    replicas,
    task_minimum,
    task_name,
    tasks,
    written_anew,
)
from toolkit.lint.name_forms import SUBDOMAIN_FORM, is_subdomain
from toolkit.lint.quantity import parse_quantity, whole
from toolkit.lint.requests import container_request
from toolkit.lint.rule import Finding, rule

PLUGINS = frozenset({"env", "svc", "ssh", "pytorch", "tensorflow", "mpi", "ray", "hcclrank"})
TOPOLOGY_POLICIES = ("none", "best-effort", "restricted", "single-numa-node")
REFUSED = "Volcano's webhook refuses the job"
_LARGEST = 2**31 - 1
_MPI_FLAGS = frozenset({"master", "worker", "port"})
_JOB_NUMBERS = {"maxRetry": 0, "minAvailable": 0, "minSuccess": 1, "ttlSecondsAfterFinished": 0}
_TASK_NUMBERS = {"replicas": 0, "minAvailable": 0, "maxRetry": 0}
_PARTITION_NUMBERS = {"totalPartitions": 1, "partitionSize": 1, "minPartitions": 0}
_LONGEST_TIER_NAME = 253


@rule(
    "L101",
    Severity.ERROR,
    why=REFUSED,
    cure="give each task its own name and replicas ≥ minAvailable",
)
def task_names_and_sizes(document: Document) -> Iterator[Finding]:
    """No task at all, two of one name, a minimum above the number of pods."""
    if is_gang(document) and not tasks(document):
        yield Finding(("spec",), "has no task")
        return
    names = [task_name(task, index) for index, task in enumerate(tasks(document))]
    times = Counter(names)
    for index, task in enumerate(tasks(document)):
        path: ValuePath = ("spec", "tasks", index)
        name = names[index]
        if times[name] > 1:
            yield Finding((*path, "name"), f"two tasks are called {name!r}")
        if task_minimum(task) > replicas(task):
            yield Finding(
                (*path, "minAvailable"),
                f"task {name!r} wants {task_minimum(task)} pods to start and has {replicas(task)}",
            )
    total = pods_of(document)
    if is_gang(document) and job_minimum(document) > total:
        yield Finding(("spec", "minAvailable"), f"wants more pods to start than all tasks have ({total})")


@rule(
    "L103",
    Severity.ERROR,
    why=REFUSED,
    cure="remove the plugin or correct its name",
)
def known_plugins(document: Document) -> Iterator[Finding]:
    """Only the plugins that Volcano has, each with a list of arguments."""
    for name, arguments in plugins(document).items():
        path: ValuePath = ("spec", "plugins", name)
        if name not in PLUGINS:
            yield Finding(path, f"{name!r} is no plugin of Volcano ({', '.join(sorted(PLUGINS))})")
        elif not is_texts(arguments):
            yield Finding(path, f"the arguments of {name!r} are no list of texts")


@rule(
    "L105",
    Severity.ERROR,
    why=REFUSED,
    cure="name existing tasks, each once and without a circle",
)
def depends_on_order(document: Document) -> Iterator[Finding]:
    """A task waits for tasks that exist, for each once, and not, in the end, for itself."""
    waits = {task_name(task, index): parents(task) for index, task in enumerate(tasks(document))}
    for index, task in enumerate(tasks(document)):
        name = task_name(task, index)
        path: ValuePath = ("spec", "tasks", index, "dependsOn")
        named = mapping(task.get("dependsOn")).get("name")
        if not is_texts(named):
            yield Finding((*path, "name"), f"{named!r} is no list of texts")
        for parent, times in Counter(parents(task)).items():
            if parent not in waits:
                yield Finding(path, f"task {name!r} waits for {parent!r}, which is no task of the job")
            elif times > 1:
                yield Finding(path, f"task {name!r} waits for {parent!r} twice")
        if name in _reached(waits, name):
            yield Finding(path, f"task {name!r} waits for itself")


@rule(
    "L106",
    Severity.ERROR,
    why=REFUSED,
    cure="give each volume its own mountPath without ':' and one source",
)
def volumes(document: Document) -> Iterator[Finding]:
    """A job volume has its own mount path and either a claim's name or a claim."""
    if not is_gang(document):
        return
    seen: set[str] = set()
    for index, volume in enumerate(map(mapping, sequence(document.spec.get("volumes")))):
        path: ValuePath = ("spec", "volumes", index)
        mount, name = text(volume.get("mountPath")), text(volume.get("volumeClaimName"))
        if not mount or ":" in mount or mount in seen:
            yield Finding(path, f"mount path {mount!r} is empty, holds ':' or is used twice")
        if bool(name) == (volume.get("volumeClaim") is not None):
            yield Finding(path, f"{written(path)} needs either volumeClaimName or volumeClaim")
        elif name and not is_subdomain(name):
            yield Finding((*path, "volumeClaimName"), f"claim name {name!r} is not {SUBDOMAIN_FORM}")
        seen.add(mount)


@rule(
    "L107",
    Severity.ERROR,
    why=REFUSED,
    cure="make replicas equal to totalPartitions × partitionSize, and minAvailable to minPartitions × partitionSize",
)
def partitions(document: Document) -> Iterator[Finding]:
    """A partitioned task has exactly partitions × size pods, and starts with whole partitions."""
    for index, task in enumerate(tasks(document)):
        if task.get("partitionPolicy") is None:
            continue
        policy = mapping(task.get("partitionPolicy"))
        path: ValuePath = ("spec", "tasks", index, "partitionPolicy")
        total, size = whole(policy.get("totalPartitions"), 0), whole(policy.get("partitionSize"), 0)
        fewest = whole(policy.get("minPartitions"), 0) * size
        if total <= 0 or size <= 0:
            yield Finding(path, "needs totalPartitions and partitionSize, both 1 or more")
        elif replicas(task) != total * size:
            yield Finding(path, f"replicas must be totalPartitions × partitionSize ({total * size})")
        elif fewest > 0 and whole(task.get("minAvailable"), fewest) != fewest:
            yield Finding(path, f"minAvailable must be minPartitions × partitionSize ({fewest})")


@rule(
    "L108",
    Severity.ERROR,
    why=REFUSED,
    cure="name one task master, or give the plugin --master=NAME",
)
def mpi_master(document: Document) -> Iterator[Finding]:
    """The mpi plugin needs a task that is its master."""
    if "mpi" not in plugins(document):
        return
    master = plugin_flags(plugins(document)["mpi"], _MPI_FLAGS).get("master", "master")
    if master not in {task_name(task, index) for index, task in enumerate(tasks(document))}:
        yield Finding(
            ("spec", "plugins", "mpi"), f"no task is called {master!r}, which mpi takes as its master"
        )


@rule(
    "L109",
    Severity.ERROR,
    why=REFUSED,
    cure="keep one of highestTierAllowed and highestTierName, and mode hard or soft",
)
def network_topology(document: Document) -> Iterator[Finding]:
    """A network distance is given as a number or as a name, not as both."""
    if not is_gang(document):
        return
    listed: list[tuple[ValuePath, object]] = [
        (("spec", "networkTopology"), document.spec.get("networkTopology"))
    ]
    for index, task in enumerate(tasks(document)):
        within = mapping(task.get("partitionPolicy")).get("networkTopology")
        listed.append((("spec", "tasks", index, "partitionPolicy", "networkTopology"), within))
    for path, value in listed:
        if value is None:
            continue
        given = mapping(value)
        highest, name = given.get("highestTierAllowed"), text(given.get("highestTierName"))
        if highest is not None and name:
            yield Finding(path, "highestTierAllowed and highestTierName exclude each other")
        if highest is not None and whole(highest, -1) < 0:
            yield Finding((*path, "highestTierAllowed"), f"{highest!r} is no whole number from 0")
        if len(name) > _LONGEST_TIER_NAME:
            yield Finding((*path, "highestTierName"), f"has more than {_LONGEST_TIER_NAME} characters")
        if text(given.get("mode", "hard")) not in {"hard", "soft"}:
            yield Finding((*path, "mode"), f"{given.get('mode')!r} is neither hard nor soft")


@rule(
    "L110",
    Severity.ERROR,
    why=REFUSED,
    cure="request whole cores for every container, such as cpu: 4, or remove topologyPolicy",
)
def numa_needs_whole_cores(document: Document) -> Iterator[Finding]:
    """A task that is bound to NUMA nodes asks for whole cores in every container."""
    for index, task in enumerate(tasks(document)):
        policy = task.get("topologyPolicy")
        path: ValuePath = ("spec", "tasks", index)
        if policy in {None, "none"} or (policy == "" and written_anew(document)):
            continue
        if policy not in TOPOLOGY_POLICIES:
            yield Finding((*path, "topologyPolicy"), f"{policy!r} is none of {', '.join(TOPOLOGY_POLICIES)}")
            continue
        spec = mapping(mapping(task.get("template")).get("spec"))
        for field in ("containers", "initContainers"):
            for place, container in enumerate(map(mapping, sequence(spec.get(field)))):
                cores = _requested_cores(container)
                if cores is None or cores < 1 or cores % 1:
                    where: ValuePath = (*path, "template", "spec", field, place, "resources")
                    yield Finding(where, f"topologyPolicy {policy} needs whole cores, not {cores or 'none'}")


@rule(
    "L131",
    Severity.ERROR,
    why="the API server refuses the job",
    cure="write a whole number in the range that the message names",
)
def numbers_in_range(document: Document) -> Iterator[Finding]:
    """Counts of a job and its tasks are whole numbers, mostly from 0."""
    if not is_gang(document):
        return
    yield from _out_of_range(document.spec, (), _JOB_NUMBERS)
    for index, task in enumerate(tasks(document)):
        path: ValuePath = ("tasks", index)
        yield from _out_of_range(task, path, _TASK_NUMBERS)
        partition = mapping(task.get("partitionPolicy"))
        yield from _out_of_range(partition, (*path, "partitionPolicy"), _PARTITION_NUMBERS)
    for path, listed in (
        (("policies",), document.spec.get("policies")),
        *((("tasks", index, "policies"), task.get("policies")) for index, task in enumerate(tasks(document))),
    ):
        for place, policy in enumerate(map(mapping, sequence(listed))):
            yield from _out_of_range(policy, (*path, place), {"exitCode": -_LARGEST - 1})


def is_texts(value: object) -> bool:
    """Whether a value is a list of texts; nothing at all is an empty one."""
    return value is None or (isinstance(value, list | tuple) and all(isinstance(each, str) for each in value))


def parents(task: Mapping[str, object]) -> list[str]:
    """Name the tasks that a task waits for."""
    return [text(name) for name in sequence(mapping(task.get("dependsOn")).get("name"))]


def _out_of_range(
    given: Mapping[str, object], path: ValuePath, lowest: Mapping[str, int]
) -> Iterator[Finding]:
    for key, low in lowest.items():
        value = given.get(key)
        if value is not None and not low <= whole(value, low - 1) <= _LARGEST:
            yield Finding(
                ("spec", *path, key), f"{key} {value!r} is no whole number from {low} to {_LARGEST}"
            )


def _requested_cores(container: Mapping[str, object]) -> Decimal | None:
    resources = mapping(container.get("resources"))
    requests = mapping(resources.get("requests"))
    if not requests:
        return container_request(container).get("cpu")
    return parse_quantity(requests.get("cpu"))


def _reached(waits: Mapping[str, list[str]], start: str) -> set[str]:
    reached: set[str] = set()
    edge = list(waits[start])
    while edge:
        name = edge.pop()
        if name not in reached:
            reached.add(name)
            edge.extend(waits.get(name, []))
    return reached


RULES = (
    task_names_and_sizes,
    known_plugins,
    depends_on_order,
    volumes,
    partitions,
    mpi_master,
    network_topology,
    numa_needs_whole_cores,
    numbers_in_range,
)
"""What is refused, in order of code."""
