"""Are the operators there that parts of tiers.yaml lean on: KEDA, the VPA, the Prometheus operator? One check.

An operator counts as there when the cluster has its CRDs and a pod of it is available. Only what tiers.yaml asks for is
looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from toolkit.cluster.doctor.finding import some, warning
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Problem

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
    return [f"services.{name}.scale" for name, each in patient.topology.services.items() if each.scale]


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


CHECKS = (operators_are_there,)
"""Every check of this subject."""
