"""What a pod asks for: the sum of its containers, as the scheduler and quotas count it.

Between `pod_templates` and the rules that compare gangs with queues, machines and quotas.
Source: k8s.io/component-helpers v0.35.3, resource/helpers.go (PodRequests); a limit stands for a missing request.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from toolkit.lint.document import mapping, text
from toolkit.lint.pod_templates import PodTemplate, resources
from toolkit.lint.quantity import parse_quantity


def request_of(template: PodTemplate) -> dict[str, Decimal]:
    """Give what one pod asks for by resource: containers together, or the largest init container if that is more.

    Init containers that go on running (restartPolicy Always) count with the containers.
    """
    together: dict[str, Decimal] = {}
    for path, container in template.containers():
        asked = container_request(container)
        goes_on = path[-2] == "containers" or text(container.get("restartPolicy")) == "Always"
        if goes_on:
            for resource, amount in asked.items():
                together[resource] = together.get(resource, Decimal(0)) + amount
    for path, container in template.containers():
        if path[-2] == "initContainers" and text(container.get("restartPolicy")) != "Always":
            for resource, amount in container_request(container).items():
                together[resource] = max(together.get(resource, Decimal(0)), amount)
    overhead = _read(mapping(template.spec.get("overhead")))
    for resource, amount in overhead.items():
        together[resource] = together.get(resource, Decimal(0)) + amount
    return together


def limit_of(template: PodTemplate) -> dict[str, Decimal]:
    """Give what one pod may use by resource: the limits of its containers together."""
    together: dict[str, Decimal] = {}
    for _, container in template.containers(init=False):
        for resource, amount in _read(resources(container, "limits")).items():
            together[resource] = together.get(resource, Decimal(0)) + amount
    return together


def container_request(container: Mapping[str, object]) -> dict[str, Decimal]:
    """Give what one container asks for; where it names only a limit, that is its request."""
    return {**_read(resources(container, "limits")), **_read(resources(container, "requests"))}


def _read(listed: Mapping[str, object]) -> dict[str, Decimal]:
    parsed = {name: parse_quantity(value) for name, value in listed.items()}
    return {name: value for name, value in parsed.items() if value is not None}
