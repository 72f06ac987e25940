"""Are the kinds that we render there, and do our objects fit them? One check a function.

CRDs come with the charts of Volcano, KubeEdge, KEDA and others, never from us; an older chart has
other fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.cluster.doctor.finding import error, some
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Problem
from toolkit.lint.document import from_objects, mapping, sequence, text
from toolkit.lint.schema import Schemas, validate
from toolkit.lint.schema_crd import served_schemas

BRINGS = {
    "volcano.sh": "Volcano's chart", "kubeedge.io": "KubeEdge's cloudcore chart", "keda.sh": "KEDA's chart",
    "monitoring.coreos.com": "the Prometheus operator's chart", "autoscaling.k8s.io": "the VPA's manifests",
}  # fmt: skip
"""End of an API group → what brings it."""
_BUILT_IN = ("k8s.io",)
_HOLD = frozenset({"Established", "NamesAccepted"})

MISSING = error(
    "D201",
    "A kind that we render is not installed.",
    why="tiers apply is refused before it writes anything",
    cure="install what brings it",
)
NOT_SERVED = error(
    "D202",
    "A kind is there, but not in our version.",
    why="the API server answers 404 for our objects",
    cure="move what brings the CRD to a version that serves it",
)
NOT_ESTABLISHED = error(
    "D203",
    "A CRD is there and is not served.",
    why="the API server does not serve it",
    cure="kubectl describe the CRD: its conditions say why",
)
OTHER_FIELDS = error(
    "D204",
    "Our objects do not fit the CRD that is installed.",
    why="the API server refuses the object, or drops the field",
    cure="move what brings the CRD to the version that tiers doctor names",
)


def kinds_are_served(patient: Patient) -> Iterator[Problem]:
    """Every kind that we render has a CRD, established, and in our version."""
    for (api_version, kind), names in _wanted(patient).items():
        group, _, version = api_version.rpartition("/")
        crd = _crd(patient, group, kind)
        if crd is None:
            cure = f"install {brings(group)}, then tiers doctor"
            yield MISSING.at(
                f"{kind} of {api_version}", f"not in the cluster, and we render {some(names)}", cure=cure
            )
            continue
        name = text(mapping(crd.get("metadata")).get("name"))
        served = [
            text(mapping(each).get("name"))
            for each in sequence(mapping(crd.get("spec")).get("versions"))
            if mapping(each).get("served")
        ]
        if version not in served:
            yield NOT_SERVED.at(
                f"CRD {name}", f"serves {', '.join(served) or 'no version'}; we render {version}"
            )
        conditions = map(mapping, sequence(mapping(crd.get("status")).get("conditions")))
        failing = [each for each in conditions if each.get("type") in _HOLD and each.get("status") != "True"]
        if failing:
            said = "; ".join(
                f"{each.get('type')} is {each.get('status')}: {each.get('message')}" for each in failing
            )
            yield NOT_ESTABLISHED.at(f"CRD {name}", said)


def objects_fit(patient: Patient) -> Iterator[Problem]:
    """Our objects have only fields that the cluster's CRDs know."""
    schemas: dict[tuple[str, str], Mapping[str, object]] = {}
    for api_version, kind in _wanted(patient):
        crd = _crd(patient, api_version.rpartition("/")[0], kind)
        schemas |= {(version, name): schema for version, name, schema in served_schemas(crd or {})}
    known = Schemas(schemas, patient.kubernetes)
    ours = from_objects(each.body for each in patient.objects if (each.api_version, each.kind) in schemas)
    for problem in validate(ours, known).problems:
        yield OTHER_FIELDS.at(problem.place.where, problem.message)


def brings(group: str) -> str:
    """Say what installs the CRDs of an API group."""
    return next((words for ending, words in BRINGS.items() if group.endswith(ending)), f"what brings {group}")


def _wanted(patient: Patient) -> dict[tuple[str, str], list[str]]:
    """Give apiVersion and kind of what we render and Kubernetes has not by itself, with the objects' names."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for each in patient.objects:
        group = each.api_version.rpartition("/")[0]
        if "." in group and not (group.endswith(_BUILT_IN) and group not in BRINGS):
            wanted.setdefault((each.api_version, each.kind), []).append(each.name)
    return wanted


def _crd(patient: Patient, group: str, kind: str) -> Mapping[str, object] | None:
    """Find the CRD of a kind. Its name begins with the plural, which only the CRD itself knows for sure."""
    for name in sorted(patient.crds):
        plural, _, of = name.partition(".")
        if of == group and plural.startswith(kind.lower()[:-1]):
            crd = patient.crd(name)
            if crd and text(mapping(mapping(crd.get("spec")).get("names")).get("kind")) == kind:
                return crd
    return None


CHECKS = (kinds_are_served, objects_fit)
"""Every check of this subject."""
