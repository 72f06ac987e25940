"""Settings of pods that the API server refuses, and Volcano's webhook with it: words, names, rights, probes.

Source: k8s.io/kubernetes v1.35.3, pkg/apis/core/validation (ValidatePodSpec, ValidateSecurityContext, validateProbe).
Beside this file: `pod_containers` and `pod_placement`; `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.gang_document import is_gang
from toolkit.lint.name_forms import LABEL_FORM, SUBDOMAIN_FORM, is_label, is_port_name, is_subdomain
from toolkit.lint.pod_containers import REFUSED
from toolkit.lint.pod_templates import PodTemplate, pod_templates
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule

_POD_WORDS = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "dnsPolicy": ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
    "preemptionPolicy": ("PreemptLowerPriority", "Never"),
}
_CONTAINER_WORDS = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
}
_DEFAULTED = frozenset({"imagePullPolicy", "terminationMessagePolicy", "restartPolicy", "dnsPolicy"})
"""Where an empty text is the same as nothing."""
_SUBDOMAINS = ("serviceAccountName", "priorityClassName", "runtimeClassName", "nodeName")
_LABELS = ("hostname", "subdomain")
_LARGEST = 2**31 - 1
_PROFILES = ("RuntimeDefault", "Localhost", "Unconfined")
_SWITCHES = ("privileged", "allowPrivilegeEscalation", "runAsNonRoot", "readOnlyRootFilesystem")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_LAST_PORT = 65535
_DEFAULT_GRACE = 30


@rule(
    "L326",
    Severity.ERROR,
    why=REFUSED,
    cure="write one of the words that the message names",
)
def words(document: Document) -> Iterator[Finding]:
    """Policies are one of a few words, with their capital letters."""
    for template in pod_templates(document):
        yield from _words(template.spec, template.path, _POD_WORDS)
        for path, container in template.containers():
            yield from _words(container, path, _CONTAINER_WORDS)
            within = path[-2] == "containers"
            if is_gang(document) and within and container.get("restartPolicy") is not None:
                yield Finding(
                    (*path, "restartPolicy"), "only init containers have a restartPolicy of their own"
                )
            elif not within and container.get("restartPolicy") not in {None, "Always"}:
                yield Finding((*path, "restartPolicy"), f"{container.get('restartPolicy')!r} is not Always")


@rule(
    "L327",
    Severity.ERROR,
    why=REFUSED,
    cure="write the name in the form that the message gives",
)
def names(document: Document) -> Iterator[Finding]:
    """Names of hosts, accounts, classes and nodes have their form; a deadline is at least a second."""
    for template in pod_templates(document):
        for key in _SUBDOMAINS:
            value = template.spec.get(key)
            if value is not None and value != "" and not is_subdomain(text(value)):
                yield Finding((*template.path, key), f"{key} {value!r} is not {SUBDOMAIN_FORM}")
        for key in _LABELS:
            value = template.spec.get(key)
            if value is not None and value != "" and not is_label(text(value)):
                yield Finding((*template.path, key), f"{key} {value!r} is not {LABEL_FORM}")
        deadline = template.spec.get("activeDeadlineSeconds")
        if deadline is not None and not 1 <= whole(deadline, 0) <= _LARGEST:
            yield Finding((*template.path, "activeDeadlineSeconds"), f"{deadline!r} is no number from 1")
        grace = template.spec.get("terminationGracePeriodSeconds")
        if grace is not None and whole(grace, -1) != grace:
            yield Finding((*template.path, "terminationGracePeriodSeconds"), f"{grace!r} is no whole number")


@rule(
    "L328",
    Severity.ERROR,
    why=REFUSED,
    cure="correct securityContext; a privileged container always may gain rights",
)
def security(document: Document) -> Iterator[Finding]:
    """Users and groups are numbers, profiles are known, and nobody is privileged without escalation."""
    for template in pod_templates(document):
        pod = mapping(template.spec.get("securityContext"))
        yield from _security(pod, (*template.path, "securityContext"))
        for path, container in template.containers():
            own = mapping(container.get("securityContext"))
            place = (*path, "securityContext")
            yield from _security(own, place)
            if own.get("allowPrivilegeEscalation") is False:
                if own.get("privileged") is True:
                    yield Finding(
                        place, "privileged: true and allowPrivilegeEscalation: false exclude each other"
                    )
                if "CAP_SYS_ADMIN" in sequence(mapping(own.get("capabilities")).get("add")):
                    yield Finding(
                        place, "CAP_SYS_ADMIN and allowPrivilegeEscalation: false exclude each other"
                    )


@rule(
    "L329",
    Severity.ERROR,
    why=REFUSED,
    cure="name exactly one of exec, httpGet, tcpSocket and grpc, with its port or command",
)
def probes(document: Document) -> Iterator[Finding]:
    """A probe or hook does exactly one thing, and its numbers are not below 0."""
    for template in pod_templates(document):
        for path, container in template.containers():
            goes_on = path[-2] == "containers" or container.get("restartPolicy") == "Always"
            for key in _PROBES:
                if container.get(key) is None:
                    continue
                place = (*path, key)
                if not goes_on:
                    yield Finding(place, "an init container that ends has no probe")
                    continue
                probe = mapping(container.get(key))
                yield from _handler(probe, place, template)
                yield from _probe_numbers(probe, key, place)
            hooks = container.get("lifecycle")
            if hooks is not None and not goes_on:
                yield Finding((*path, "lifecycle"), "an init container that ends has no hooks")
                continue
            for key in ("postStart", "preStop"):
                if mapping(hooks).get(key) is not None:
                    yield from _handler(mapping(mapping(hooks)[key]), (*path, "lifecycle", key), template)


@rule(
    "L330",
    Severity.ERROR,
    why=REFUSED,
    cure="write a list of texts, such as [python, -m, train]; put quotes around numbers",
)
def commands(document: Document) -> Iterator[Finding]:
    """Commands and arguments are lists of texts."""
    for template in pod_templates(document):
        for path, container in template.containers():
            for key in ("command", "args"):
                value = container.get(key)
                if value is None:
                    continue
                if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
                    yield Finding((*path, key), f"{key} {value!r} is no list of texts")
        if template.spec.get("ephemeralContainers"):
            yield Finding((*template.path, "ephemeralContainers"), "a template has no ephemeral containers")


def _words(
    given: Mapping[str, object], path: ValuePath, known: Mapping[str, tuple[str, ...]]
) -> Iterator[Finding]:
    for key, allowed in known.items():
        value = given.get(key)
        if value is None or (value == "" and key in _DEFAULTED):
            continue
        if value not in allowed:
            yield Finding((*path, key), f"{value!r} is none of {', '.join(allowed)}")


def _security(given: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        value = given.get(key)
        if value is not None and not 0 <= whole(value, -1) <= _LARGEST:
            yield Finding((*path, key), f"{value!r} is no number from 0 to {_LARGEST}")
    for key in _SWITCHES:
        value = given.get(key)
        if value is not None and not isinstance(value, bool):
            yield Finding((*path, key), f"{value!r} is neither true nor false")
    profile = given.get("seccompProfile")
    if profile is None:
        return
    kind, file = mapping(profile).get("type"), mapping(profile).get("localhostProfile")
    if kind not in _PROFILES:
        yield Finding((*path, "seccompProfile"), f"{kind!r} is none of {', '.join(_PROFILES)}")
    elif (kind == "Localhost") != (file is not None):
        yield Finding((*path, "seccompProfile"), "Localhost, and only Localhost, has a localhostProfile")


def _handler(given: Mapping[str, object], path: ValuePath, template: PodTemplate) -> Iterator[Finding]:
    named = [key for key in _HANDLERS if given.get(key) is not None]
    if len(named) != 1:
        yield Finding(path, f"does {len(named)} things ({', '.join(named) or 'none'}) instead of one")
    for key in named:
        what, place = mapping(given[key]), (*path, key)
        if key == "exec" and not sequence(what.get("command")):
            yield Finding(place, "has no command")
        if key in {"httpGet", "tcpSocket", "grpc"} and not _is_port(what.get("port"), by_name=key != "grpc"):
            yield Finding((*place, "port"), f"{what.get('port')!r} is no port")
        if key == "httpGet" and what.get("scheme") not in {None, "", "HTTP", "HTTPS"}:
            yield Finding((*place, "scheme"), f"{what.get('scheme')!r} is neither HTTP nor HTTPS")
        if key == "sleep":
            grace = whole(template.spec.get("terminationGracePeriodSeconds"), _DEFAULT_GRACE)
            if not 0 < whole(what.get("seconds"), 0) <= grace:
                yield Finding((*place, "seconds"), f"{what.get('seconds')!r} is not from 1 to {grace}")


def _is_port(value: object, *, by_name: bool) -> bool:
    if isinstance(value, str):
        return by_name and is_port_name(value)
    return 1 <= whole(value, 0) <= _LAST_PORT


def _probe_numbers(probe: Mapping[str, object], key: str, path: ValuePath) -> Iterator[Finding]:
    for name in _PROBE_NUMBERS:
        value = probe.get(name)
        if value is not None and whole(value, -1) < 0:
            yield Finding((*path, name), f"{value!r} is no number from 0")
    if key != "readinessProbe" and whole(probe.get("successThreshold"), 0) > 1:
        yield Finding((*path, "successThreshold"), f"must be 1 for {key}")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and (key == "readinessProbe" or whole(grace, 0) < 1):
        yield Finding((*path, "terminationGracePeriodSeconds"), f"{grace!r} is not allowed for {key}")


RULES = (
    words,
    names,
    security,
    probes,
    commands,
)
"""What is refused in settings, in order of code."""
