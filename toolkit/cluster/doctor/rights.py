"""May this user do what `tiers apply` does? Every verb on every kind is asked for; what is missing becomes a Role.

By SelfSubjectAccessReview, which answers for each request by itself: rules reviews are allowed to leave some out. One
question for everything comes first, so that an administrator costs one request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from toolkit.cluster.doctor.finding import error, some
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import ClusterError, Problem
from toolkit.lint.document import mapping, text

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
OWN = ("get", "list", "watch", "create", "patch", "delete")
"""What is done with each kind that we render."""
PARALLEL = 8

MISSING = error(
    "D701",
    "This user lacks rights that the commands need.",
    why="tiers apply stops there, perhaps in the middle",
    cure="let an administrator apply the roles below and bind them to this user",
)


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource. An empty namespace means the whole cluster."""

    namespace: str
    group: str
    resource: str
    verb: str

    @property
    def title(self) -> str:
        """How people call it: `patch daemonsets.apps`."""
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


def rights_are_there(patient: Patient) -> Iterator[Problem]:
    """This user has every right that diff, apply, wait, status and the job commands use."""
    if _may(patient, Right("", "*", "*", "*")):
        return
    wanted = sorted(needed(patient))
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        answers = list(threads.map(lambda each: _may(patient, each), wanted))
    missing = [each for each, allowed in zip(wanted, answers, strict=True) if not allowed]
    if not missing:
        return
    titles = [each.title for each in missing]
    user = _user(patient)
    message = f"{user} lacks {len(missing)} of {len(wanted)} rights: {some(titles)}"
    yield MISSING.at(f"user {user}", message, excerpt=roles(patient.topology.name, missing))


def needed(patient: Patient) -> set[Right]:
    """Give every right that the commands use for what was rendered."""
    home = patient.topology.namespace(patient.connection.cluster)
    rights = {
        *_rights("", "", "nodes", ("get", "list")),
        *_rights(home, "", "configmaps", OWN),
        *_rights(home, "", "pods", ("get", "list", "watch")),
        *_rights(home, "", "pods/log", ("get",)),
        *_rights(home, "", "events", ("list",)),
        *_rights(home, "coordination.k8s.io", "leases", ("get", "create", "update", "delete")),
    }
    if any(each.submitted for each in patient.objects):
        rights |= {*_rights(home, "bus.volcano.sh", "commands", ("create", "patch"))}
        rights |= {*_rights(home, "scheduling.volcano.sh", "podgroups", ("get", "list"))}
    for each in patient.objects:
        try:
            resource = patient.kinds.resource(each.api_version, each.kind)
        except ClusterError:
            continue  # a kind that is not there is a finding of its own
        group = each.api_version.rpartition("/")[0]
        rights |= {*_rights(each.namespace if resource.namespaced else "", group, resource.plural, OWN)}
    return rights


def roles(name: str, missing: Iterable[Right]) -> str:
    """Write the roles that grant some rights: a Role a namespace, a ClusterRole for the rest. YAML, ready to apply."""
    by_place: dict[str, dict[tuple[str, str], list[str]]] = {}
    for each in sorted(missing):
        by_place.setdefault(each.namespace, {}).setdefault((each.group, each.resource), []).append(each.verb)
    return "\n---\n".join(_role(name, namespace, rules) for namespace, rules in by_place.items())


def _role(name: str, namespace: str, rules: Mapping[tuple[str, str], list[str]]) -> str:
    kind = "Role" if namespace else "ClusterRole"
    within = f", namespace: {namespace}" if namespace else ""
    same: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), each in rules.items():
        same.setdefault((group, tuple(each)), []).append(resource)
    lines = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}",
        f"metadata: {{name: tiers-{name}{within}}}",
        "rules:",
    ]
    for (group, listed), resources in same.items():
        verbs = ", ".join(listed)
        lines.append(f'- {{apiGroups: ["{group}"], resources: [{", ".join(resources)}], verbs: [{verbs}]}}')
    return "\n".join(lines)


def _rights(namespace: str, group: str, resource: str, verbs: Iterable[str]) -> Iterator[Right]:
    return (Right(namespace, group, resource, verb) for verb in verbs)


def _may(patient: Patient, right: Right) -> bool:
    resource, _, below = right.resource.partition("/")
    asked = {"namespace": right.namespace, "verb": right.verb, "group": right.group, "resource": resource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**asked, **({"subresource": below} if below else {})}},
    }
    answer = patient.connection.send("POST", REVIEWS, {}, body)
    return mapping(answer.get("status")).get("allowed") is True


def _user(patient: Patient) -> str:
    """Name the user as the server knows it; servers before 1.28 do not tell."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = patient.connection.send("POST", WHO, {}, body)
    except ClusterError:
        return "this user"
    return text(mapping(mapping(answer.get("status")).get("userInfo")).get("username")) or "this user"


CHECKS = (rights_are_there,)
"""Every check of this subject."""
