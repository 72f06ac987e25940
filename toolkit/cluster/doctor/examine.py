"""Run every check on a cluster and collect what they found. `tiers doctor` calls it; before it stands `connect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.cluster.doctor import (
    clock,
    cloudcore,
    custom_kinds,
    gpus,
    nodes,
    operators,
    rights,
    scheduler,
    versions,
)
from toolkit.cluster.doctor.finding import Ailment, Check, error, warning
from toolkit.cluster.doctor.patient import Patient
from toolkit.cluster.request import Connection
from toolkit.errors import Problem, Severity, TiersError, UnreachableError
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology

SUBJECTS = (versions, custom_kinds, scheduler, cloudcore, nodes, gpus, operators, rights, clock)
CHECKS: tuple[Check, ...] = tuple(check for subject in SUBJECTS for check in subject.CHECKS)
"""Every check, in the order in which they are told."""

HIDDEN = warning(
    "D001",
    "Something may not be read, or the server refused to show it.",
    why="what it would have shown is not known",
    cure="ask for the right to read it, then tiers doctor",
)
SILENT = error(
    "D002",
    "The API server does not answer.",
    why="nothing can be applied, and nothing was looked at",
    cure="kubectl get --raw /readyz",
)


def ailments() -> tuple[Ailment, ...]:
    """Give every kind of finding, in order of code, for the reference."""
    own = (HIDDEN, SILENT)
    found = [each for subject in SUBJECTS for each in vars(subject).values() if isinstance(each, Ailment)]
    return tuple(sorted((*own, *found), key=lambda each: each.code))


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one cluster."""

    cluster: str
    context: str
    checks: int
    """How many checks could look at what they look at."""
    facts: tuple[tuple[str, str], ...]
    """What runs there: a part and its version."""
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(each.severity is Severity.ERROR for each in self.problems)


def examine(connection: Connection, topology: Topology, objects: Sequence[RenderedObject]) -> Diagnosis:
    """Look at a cluster; nothing is changed, and what cannot be looked at is a finding.

    Args:
        connection: the way to the cluster.
        topology: says which machines there should be.
        objects: everything that was rendered, jobs too; only this cluster's count.
    """
    ours = tuple(each for each in objects if each.cluster == connection.cluster)
    patient = Patient(connection, topology, ours)
    problems: list[Problem] = []
    facts: tuple[tuple[str, str], ...] = ()
    looked = 0
    for check in CHECKS:
        try:
            problems += check(patient)
            looked += 1
        except UnreachableError as exc:
            problems.append(SILENT.at(f"cluster {connection.cluster}", exc.message, cure=exc.hint))
            break  # every other check would wait as long
        except (
            TiersError
        ) as exc:  # forbidden, no answer of an API server, a Kubernetes that is older than all schemas
            problems.append(HIDDEN.at(f"cluster {connection.cluster}", exc.message))
    else:
        facts = _facts(patient)
    return Diagnosis(connection.cluster, connection.context, looked, facts, tuple(dict.fromkeys(problems)))


def _facts(patient: Patient) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(versions.facts(patient))
    except TiersError:
        return (("Kubernetes", patient.kubernetes),)
