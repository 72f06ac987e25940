"""Is there what parts of tiers.yaml lean on: KEDA, the VPA, the Prometheus operator, an adapter for metrics?

An operator counts as there when the cluster has its CRDs and a pod of it is available, an adapter when the API server
reaches it. Only what tiers.yaml asks for is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from toolkit.cluster.doctor.finding import some, warning
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Problem
from toolkit.lint.document import mapping, sequence, text

MISSING = warning(
    "D611",
    "An operator is missing that tiers.yaml or our objects lean on.",
    why="what leans on it does not happen",
    cure="install it by its chart",
)
NOT_RUNNING = warning(
    "D612",
    "An operator has no pod that is available.",
    why="its objects are accepted and nothing happens",
    cure="kubectl describe it; its pods say why",
)

NO_FIGURES = warning(
    "D613",
    "Nobody serves the figures that a HorizontalPodAutoscaler goes by.",
    why="the number of servers stays as it is, whatever the load",
    cure="install prometheus-adapter with the rules of docs/guides/scale.md, or write by: keda",
)
FIGURES = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"


@dataclass(frozen=True)
class Operator:
    """One operator: how it is known, and who needs it."""

    name: str
    group: str
    image: str
    """Regular expression of its image's name."""
    needed_by: Callable[[Patient], list[str]]
    lost: str
    """What does not happen without it."""
    install: str


def _scaled(patient: Patient) -> list[str]:
    return _scaled_by(patient, "keda")


def _scaled_by(patient: Patient, who: str) -> list[str]:
    services = patient.topology.services.items()
    return [f"services.{name}.scale" for name, each in services if each.scale and each.scale.by == who]


def _watched(patient: Patient) -> list[str]:
    monitoring = patient.topology.monitoring
    return ["monitoring.kind: operator"] if monitoring and monitoring.kind == "operator" else []


OPERATORS = (
    Operator(
        "KEDA",
        "keda.sh",
        "^keda(-operator)?$",
        _scaled,
        "the number of servers stays as it is, whatever the load",
        "install KEDA by its chart: helm install keda kedacore/keda",
    ),
    Operator(
        "the Prometheus operator",
        "monitoring.coreos.com",
        "^prometheus-operator$",
        _watched,
        "no rule is loaded and nobody is called",
        "install the Prometheus operator, or write monitoring.kind: prometheus",
    ),
    Operator(
        "the vertical pod autoscaler",
        "autoscaling.k8s.io",
        "^vpa-(recommender|updater)$",
        lambda _: [],
        "requests stay as they are",
        "install the VPA",
    ),
)


def operators_are_there(patient: Patient) -> Iterator[Problem]:
    """What tiers.yaml and our objects lean on is installed and runs."""
    for each in OPERATORS:
        wanted = [*each.needed_by(patient), *patient.needs(each.group)]
        if not wanted:
            continue
        part = patient.part(each.image)
        if part is None or not any(name.endswith(f".{each.group}") for name in patient.crds):
            what = "no pod of it" if part is None else "none of its CRDs"
            yield replace(MISSING, why=each.lost).at(
                each.name, f"{what} is in the cluster, and {some(wanted)} needs it", cure=each.install
            )
        elif not part.runs:
            yield NOT_RUNNING.at(part.title, f"no pod of it is available, and {some(wanted)} needs it")


def figures_are_served(patient: Patient) -> Iterator[Problem]:
    """Where a service is scaled by a plain HPA, an adapter answers for external.metrics.k8s.io."""
    wanted = _scaled_by(patient, "hpa")
    if not wanted:
        return
    found = patient.found(FIGURES)
    if found is None:
        yield NO_FIGURES.at(
            "external.metrics.k8s.io", f"no APIService leads to it, and {some(wanted)} needs it"
        )
        return
    conditions = map(mapping, sequence(mapping(found.get("status")).get("conditions")))
    available = [each for each in conditions if each.get("type") == "Available"]
    if not available or available[0].get("status") != "True":
        said = text(available[0].get("message")) if available else "nobody has looked yet"
        yield NO_FIGURES.at("external.metrics.k8s.io", f"it does not answer: {said}")


CHECKS = (operators_are_there, figures_are_served)
"""Every check of this subject."""
