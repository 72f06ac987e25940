"""Jobs that KubeEdge runs on devices: image pulls, upgrades, changes of configuration. One rule a function.

They run as root on every device that they find, and parts of their text go through a shell there. Source:
kubeedge/kubeedge v1.23.1 (the CRDs of operations.kubeedge.io, its release notes of July 2026). `check` runs the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.kubeedge_keys import EDGECORE, Keys
from toolkit.lint.rule import Finding, rule
from toolkit.topology.kubeedge_version import first_fixed, is_fixed, numbers_of

GROUP = "operations.kubeedge.io"
_JOBS = ("NodeUpgradeJob", "ImagePrePullJob", "ConfigUpdateJob")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_VENDORS = re.compile(r"[-+][0-9A-Za-z.+-]+$")
"""What vendors put behind the three numbers, such as -acme.5; a shell leaves it alone."""
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)+")
_VALUE = re.compile(r"[A-Za-z0-9_./:,@\[\] -]*")
"""What a shell leaves alone; a value may hold no quote, $, backtick, semicolon, pipe or newline."""
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_CHECKED = frozenset({"cpu", "mem", "disk"})
_GETTER = "imageDigestGatter"
"""So it is called in the CRD."""


def is_job(document: Document, *kinds: str) -> bool:
    """Whether an object is a job of KubeEdge, of these kinds or of any."""
    return document.group == GROUP and document.kind in (kinds or _JOBS)


def _task(document: Document) -> tuple[ValuePath, Mapping[str, object]]:
    """Give the part of a job that says where and how it runs; an image pull has it one level deeper."""
    if document.kind == "ImagePrePullJob":
        return ("spec", "imagePrePullTemplate"), mapping(document.spec.get("imagePrePullTemplate"))
    return ("spec",), document.spec


@rule(
    "L240",
    Severity.ERROR,
    why="code of v1alpha1 destroys the state of v1alpha2 jobs, and newer fields are dropped",
    cure="write apiVersion: operations.kubeedge.io/v1alpha2, and let all jobs of the cluster have it",
)
def current_version(document: Document) -> Iterator[Finding]:
    """The samples of KubeEdge still say v1alpha1; since 1.21 v1alpha2 is what is stored."""
    if is_job(document) and text(document.body.get("apiVersion")).endswith("/v1alpha1"):
        yield Finding(("apiVersion",), "operations.kubeedge.io/v1alpha1")


@rule(
    "L241",
    Severity.ERROR,
    why="the text goes through a shell as root on every device (CVE-2026-62371)",
    cure="write a version such as v1.23.1, and an image without tag such as kubeedge/installation-package",
)
def upgrade_is_no_command(document: Document) -> Iterator[Finding]:
    """Version and image of a NodeUpgradeJob become words of a command line."""
    if not is_job(document, "NodeUpgradeJob"):
        return
    version, image = document.spec.get("version"), document.spec.get("image")
    if _numbers(version) is None:
        yield Finding(("spec", "version"), f"'{version}' is no version")
    if image is not None and not _REPOSITORY.fullmatch(text(image)):
        yield Finding(("spec", "image"), f"'{image}' is no image")


def _numbers(version: object) -> tuple[int, int, int] | None:
    """Read the numbers of a version, a vendor's too; None for whatever else it is."""
    return numbers_of(_VENDORS.sub("", text(version), count=1))


@rule(
    "L242",
    Severity.ERROR,
    why="devices would move to a KubeEdge with known holes (CVE-2026-62371, CVE-2026-62182, CVE-2026-62370)",
    cure="move to v1.23.1, v1.22.2, v1.21.2 or later",
)
def upgrade_to_a_sound_version(document: Document) -> Iterator[Finding]:
    """Who may write such jobs could run commands on every device."""
    numbers = _numbers(document.spec.get("version")) if is_job(document, "NodeUpgradeJob") else None
    if numbers is not None and not is_fixed(numbers):
        yield Finding(
            ("spec", "version"), f"{document.spec['version']} has known holes; sound are {first_fixed()}"
        )


@rule(
    "L243",
    Severity.ERROR,
    why="keys and values go through a shell as root on every device (CVE-2026-62182); unknown keys do nothing",
    cure="name keys of edgecore.yaml by dots (modules.edged.nodeIP) with plain values",
)
def update_is_no_command(document: Document) -> Iterator[Finding]:
    """A ConfigUpdateJob calls keadm on the device with what stands in updateFields."""
    if not is_job(document, "ConfigUpdateJob"):
        return
    for key, value in mapping(document.spec.get("updateFields")).items():
        path = ("spec", "updateFields", key)
        if not _FIELD.fullmatch(str(key)) or not _VALUE.fullmatch(str(value)):
            yield Finding(path, f"'{key}' holds what a shell would act on")
        elif not _is_key(key.split("."), EDGECORE):
            yield Finding(path, f"EdgeCore has no key '{key}'")


def _is_key(parts: list[str], keys: Keys | None) -> bool:
    """Whether EdgeCore reads a key; below what we do not know further any key may stand."""
    if keys is None or not parts:
        return True
    return parts[0] in keys and _is_key(parts[1:], keys[parts[0]])


@rule(
    "L244",
    Severity.ERROR,
    why="devices pull without a login and are refused",
    cure="write imageSecrets: NAMESPACE/NAME, one text",
)
def login_has_a_namespace(document: Document) -> Iterator[Finding]:
    """The field is called imageSecrets and takes one name with its namespace: the job itself has none."""
    path, task = _task(document)
    found = task.get("imageSecrets")
    if is_job(document, "ImagePrePullJob") and found is not None and not _SECRET.fullmatch(text(found)):
        yield Finding((*path, "imageSecrets"), f"'{found}' is not NAMESPACE/NAME")


@rule(
    "L245",
    Severity.ERROR,
    why="the API server drops the field, and images are not checked",
    cure="write imageDigestGatter, as the CRD spells it",
)
def digest_getter_as_it_is_spelled(document: Document) -> Iterator[Finding]:
    """The CRD has a typing mistake that became its name."""
    if is_job(document, "NodeUpgradeJob"):
        for key in map(str, document.spec):
            if key.lower().startswith("imagedigest") and key != _GETTER:
                yield Finding(("spec", key), f"there is no '{key}'; it is called {_GETTER}")


@rule(
    "L246",
    Severity.ERROR,
    why="the job finds no device and is done at once, or it is not clear which of the two holds",
    cure="keep exactly one of nodeNames and labelSelector",
)
def says_which_devices(document: Document) -> Iterator[Finding]:
    """A job without a target is accepted."""
    if not is_job(document):
        return
    path, task = _task(document)
    named, labelled = sequence(task.get("nodeNames")), mapping(task.get("labelSelector"))
    if bool(named) == bool(labelled):
        yield Finding(
            path, f"has {'both' if named else 'neither'} nodeNames {'and' if named else 'nor'} labelSelector"
        )


@rule(
    "L247",
    Severity.ERROR,
    why="the job fails at once, or never",
    cure='write failureTolerate as a share in quotes ("0.1"), and checkItems of cpu, mem and disk',
)
def limits_can_be_read(document: Document) -> Iterator[Finding]:
    """Both are texts that only the controller reads."""
    if not is_job(document):
        return
    path, task = _task(document)
    share = task.get("failureTolerate")
    if share is not None and not _is_share(share):
        yield Finding((*path, "failureTolerate"), f"'{share}' is no share from 0 to 1")
    for index, each in enumerate(sequence(task.get("checkItems"))):
        if text(each) not in _CHECKED:
            yield Finding((*path, "checkItems", index), f"'{each}' is none of cpu, mem and disk")


def _is_share(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"0(\.[0-9]+)?|1(\.0+)?", value))


@rule(
    "L248",
    Severity.WARNING,
    why="what is pulled ahead need not be what the pod asks for later, so it pulls again, perhaps offline",
    cure="write the digest: name:tag@sha256:… (tiers.lock keeps them)",
)
def pulled_images_are_pinned(document: Document) -> Iterator[Finding]:
    """A tag can move between the pull and the start of the pod."""
    if not is_job(document, "ImagePrePullJob"):
        return
    path, task = _task(document)
    for index, image in enumerate(sequence(task.get("images"))):
        if not _DIGEST.search(text(image)):
            yield Finding((*path, "images", index), f"image {image} has no digest")


RULES = (
    current_version,
    upgrade_is_no_command,
    upgrade_to_a_sound_version,
    update_is_no_command,
    login_has_a_namespace,
    digest_getter_as_it_is_spelled,
    says_which_devices,
    limits_can_be_read,
    pulled_images_are_pinned,
)
"""Every rule of this file, in order of code."""
