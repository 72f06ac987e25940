"""Labels, selectors, tolerations and affinities that the API server refuses, and Volcano's webhook with it.

Source: k8s.io/kubernetes v1.35.3, pkg/apis/core/validation (ValidatePodTemplateSpec, ValidateTolerations,
validateAffinity, validateTopologySpreadConstraints). Beside this file: `pod_containers` and `pod_settings`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.name_forms import SUBDOMAIN_FORM, is_label_value, is_qualified, is_subdomain
from toolkit.lint.pod_containers import REFUSED
from toolkit.lint.pod_templates import PodTemplate, pod_templates
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_HIGHEST_WEIGHT = 100
_MOST_NAME_SERVERS = 3
_LABEL = "up to 63 letters, digits, -, _ and ., with a letter or digit at both ends"


@rule(
    "L331",
    Severity.ERROR,
    why=REFUSED,
    cure=f"write texts of {_LABEL}; put quotes around numbers and true",
)
def labels(document: Document) -> Iterator[Finding]:
    """Labels and selectors are texts in the form of labels; annotations are texts."""
    for template in pod_templates(document):
        yield from _labels(mapping(template.spec.get("nodeSelector")), (*template.path, "nodeSelector"))
        metadata = _metadata(document, template)
        path = (*template.path[:-1], "metadata")
        yield from _labels(mapping(metadata.get("labels")), (*path, "labels"))
        for key, value in mapping(metadata.get("annotations")).items():
            if not is_qualified(key.lower()):
                yield Finding((*path, "annotations", key), f"{key!r} cannot name an annotation")
            if not isinstance(value, str):
                yield Finding((*path, "annotations", key), f"{value!r} is no text: put quotes around it")


@rule(
    "L332",
    Severity.ERROR,
    why=REFUSED,
    cure="write {key, operator: Exists} or {key, value}, with effect NoSchedule, PreferNoSchedule or NoExecute",
)
def tolerations(document: Document) -> Iterator[Finding]:
    """A toleration names a taint or all of them, and has a value only where it compares."""
    for template in pod_templates(document):
        for index, toleration in enumerate(map(mapping, sequence(template.spec.get("tolerations")))):
            path: ValuePath = (*template.path, "tolerations", index)
            key, operator = text(toleration.get("key")), text(toleration.get("operator"))
            value, effect = text(toleration.get("value")), text(toleration.get("effect"))
            if key and not is_qualified(key):
                yield Finding((*path, "key"), f"{key!r} cannot be the key of a taint")
            if not key and operator != "Exists":
                yield Finding(path, "without a key the operator must be Exists")
            if operator not in {"", "Equal", "Exists"}:
                yield Finding((*path, "operator"), f"{operator!r} is neither Equal nor Exists")
            elif operator == "Exists" and value:
                yield Finding((*path, "value"), "Exists compares no value")
            elif not is_label_value(value):
                yield Finding((*path, "value"), f"{value!r} is not {_LABEL}")
            if effect and effect not in _EFFECTS:
                yield Finding((*path, "effect"), f"{effect!r} is none of {', '.join(_EFFECTS)}")
            if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
                yield Finding(path, "tolerationSeconds needs effect NoExecute")


@rule(
    "L333",
    Severity.ERROR,
    why=REFUSED,
    cure="give In and NotIn values, Exists and DoesNotExist none, each term a topologyKey, weights from 1 to 100",
)
def affinity(document: Document) -> Iterator[Finding]:
    """Terms have the values that their operator asks for, a topology key, and a weight where they are preferred."""
    for template in pod_templates(document):
        given = mapping(template.spec.get("affinity"))
        path = (*template.path, "affinity")
        yield from _node_affinity(mapping(given.get("nodeAffinity")), (*path, "nodeAffinity"))
        for kind in ("podAffinity", "podAntiAffinity"):
            yield from _pod_affinity(mapping(given.get(kind)), (*path, kind))


@rule(
    "L334",
    Severity.ERROR,
    why=REFUSED,
    cure="write maxSkew: 1 or more, a topologyKey, and whenUnsatisfiable: DoNotSchedule or ScheduleAnyway",
)
def spread(document: Document) -> Iterator[Finding]:
    """A spread constraint has a skew, a topology key, what to do when it cannot hold, and stands there once."""
    for template in pod_templates(document):
        seen: set[tuple[str, str]] = set()
        listed = sequence(template.spec.get("topologySpreadConstraints"))
        for index, constraint in enumerate(map(mapping, listed)):
            path: ValuePath = (*template.path, "topologySpreadConstraints", index)
            key, otherwise = text(constraint.get("topologyKey")), text(constraint.get("whenUnsatisfiable"))
            if whole(constraint.get("maxSkew"), 0) < 1:
                yield Finding((*path, "maxSkew"), f"{constraint.get('maxSkew')!r} is no number from 1")
            if not is_qualified(key):
                yield Finding((*path, "topologyKey"), f"{key!r} cannot be the key of a label")
            if otherwise not in {"DoNotSchedule", "ScheduleAnyway"}:
                yield Finding(
                    (*path, "whenUnsatisfiable"), f"{otherwise!r} is neither DoNotSchedule nor ScheduleAnyway"
                )
            if (key, otherwise) in seen:
                yield Finding(path, f"a second constraint for {key} with {otherwise}")
            least = constraint.get("minDomains")
            if least is not None and (whole(least, 0) < 1 or otherwise != "DoNotSchedule"):
                yield Finding((*path, "minDomains"), "is from 1 and needs DoNotSchedule")
            seen.add((key, otherwise))


@rule(
    "L335",
    Severity.ERROR,
    why=REFUSED,
    cure="write addresses as 192.0.2.1 or 2001:db8::1; with dnsPolicy None name one to three name servers",
)
def addresses(document: Document) -> Iterator[Finding]:
    """Name servers and host aliases are addresses, and without a DNS policy there is a name server."""
    for template in pod_templates(document):
        config = template.spec.get("dnsConfig")
        servers = sequence(mapping(config).get("nameservers"))
        path = (*template.path, "dnsConfig", "nameservers")
        if template.spec.get("dnsPolicy") == "None" and not servers:
            yield Finding(path, "dnsPolicy None needs a name server")
        if len(servers) > _MOST_NAME_SERVERS:
            yield Finding(path, f"{len(servers)} name servers; {_MOST_NAME_SERVERS} are allowed")
        for index, server in enumerate(servers):
            if not _is_address(server):
                yield Finding((*path, index), f"{server!r} is no address")
        for index, alias in enumerate(map(mapping, sequence(template.spec.get("hostAliases")))):
            place: ValuePath = (*template.path, "hostAliases", index)
            if not _is_address(alias.get("ip")):
                yield Finding((*place, "ip"), f"{alias.get('ip')!r} is no address")
            for number, name in enumerate(sequence(alias.get("hostnames"))):
                if not is_subdomain(text(name)):
                    yield Finding((*place, "hostnames", number), f"{name!r} is not {SUBDOMAIN_FORM}")


def _metadata(document: Document, template: PodTemplate) -> Mapping[str, object]:
    """Give what stands beside the pod spec: labels and annotations of the pods."""
    value: object = document.body
    for part in (*template.path[:-1], "metadata"):
        value = sequence(value)[part] if isinstance(part, int) else mapping(value).get(part)
    return mapping(value)


def _labels(given: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    for key, value in given.items():
        if not is_qualified(key):
            yield Finding((*path, key), f"{key!r} cannot be the key of a label")
        if not isinstance(value, str):
            yield Finding((*path, key), f"{value!r} is no text: put quotes around it")
        elif not is_label_value(value):
            yield Finding((*path, key), f"{value!r} is not {_LABEL}")


def _node_affinity(given: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    needed = given.get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is not None:
        place = (*path, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
        terms = sequence(mapping(needed).get("nodeSelectorTerms"))
        if not terms:
            yield Finding(place, "has no term")
        for index, term in enumerate(map(mapping, terms)):
            yield from _term(term, (*place, index), values_checked=True)
    listed = sequence(given.get("preferredDuringSchedulingIgnoredDuringExecution"))
    place = (*path, "preferredDuringSchedulingIgnoredDuringExecution")
    for index, preferred in enumerate(map(mapping, listed)):
        yield from _weight(preferred, (*place, index))
        if preferred.get("preference") is None:
            yield Finding((*place, index), "has no preference")
        yield from _term(
            mapping(preferred.get("preference")), (*place, index, "preference"), values_checked=False
        )


def _term(term: Mapping[str, object], path: ValuePath, *, values_checked: bool) -> Iterator[Finding]:
    for index, expression in enumerate(map(mapping, sequence(term.get("matchExpressions")))):
        place: ValuePath = (*path, "matchExpressions", index)
        key, operator = text(expression.get("key")), text(expression.get("operator"))
        values = sequence(expression.get("values"))
        fitting = {
            "In": bool(values),
            "NotIn": bool(values),
            "Exists": not values,
            "DoesNotExist": not values,
            "Gt": len(values) == 1,
            "Lt": len(values) == 1,
        }
        if operator not in fitting:
            yield Finding((*place, "operator"), f"{operator!r} is none of {', '.join(fitting)}")
        elif not fitting[operator]:
            yield Finding((*place, "values"), f"{len(values)} values do not fit {operator}")
        if not is_qualified(key):
            yield Finding((*place, "key"), f"{key!r} cannot be the key of a label")
        for number, value in enumerate(values):
            if not isinstance(value, str) or (values_checked and not is_label_value(value)):
                yield Finding((*place, "values", number), f"{value!r} is not {_LABEL}")


def _pod_affinity(given: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    place: ValuePath = (*path, "requiredDuringSchedulingIgnoredDuringExecution")
    for index, term in enumerate(map(mapping, sequence(given.get(str(place[-1]))))):
        yield from _topology_key(term, (*place, index))
    place = (*path, "preferredDuringSchedulingIgnoredDuringExecution")
    for index, preferred in enumerate(map(mapping, sequence(given.get(str(place[-1]))))):
        yield from _weight(preferred, (*place, index))
        term = mapping(preferred.get("podAffinityTerm"))
        yield from _topology_key(term, (*place, index, "podAffinityTerm"))


def _topology_key(term: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    if not is_qualified(text(term.get("topologyKey"))):
        yield Finding((*path, "topologyKey"), f"{term.get('topologyKey')!r} cannot be the key of a label")


def _weight(preferred: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    if not 1 <= whole(preferred.get("weight"), 0) <= _HIGHEST_WEIGHT:
        yield Finding(
            (*path, "weight"), f"{preferred.get('weight')!r} is no number from 1 to {_HIGHEST_WEIGHT}"
        )


def _is_address(value: object) -> bool:
    try:
        ipaddress.ip_address(text(value))
    except ValueError:
        return False
    return True


RULES = (
    labels,
    tolerations,
    affinity,
    spread,
    addresses,
)
"""What is refused in labels and placement, in order of code."""
