"""Which modules of KubeEdge our objects need. The one list of it: configurations and `tiers doctor` read it.

KubeEdge accepts an object whose module is off and does nothing with it. Source: kubeedge/kubeedge v1.23.1 (the defaults
of both programs' configurations, cloud/cmd/controllermanager).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toolkit.render.rendered import RenderedObject

CLOUD_MODULES: Mapping[str, str] = {
    "operations.kubeedge.io": "taskManager",
    "rules.kubeedge.io": "router",
    "policy.kubeedge.io": "dynamicController",
    "devices.kubeedge.io": "deviceController",
}
"""API group → module of CloudCore that does the work."""
EDGE_MODULES: Mapping[str, str] = {
    "operations.kubeedge.io": "taskManager",
    "rules.kubeedge.io": "eventBus",
    "policy.kubeedge.io": "metaServer",
    "devices.kubeedge.io": "deviceTwin",
}
"""API group → module of EdgeCore that does the work on a device."""
CONTROLLED = ("apps.kubeedge.io", "operations.kubeedge.io")
"""API groups whose work the separate controller manager does."""
_SERVICE_BUS = "serviceBus"


@dataclass(frozen=True)
class Switches:
    """Modules that have to be on."""

    cloud: frozenset[str]
    edge: frozenset[str]
    controller_manager: bool


def switches_for(objects: Iterable[RenderedObject]) -> Switches:
    """Say what objects need; those of other groups need nothing of KubeEdge."""
    listed = tuple(objects)
    groups = {each.api_version.partition("/")[0] for each in listed}
    edge = {module for group, module in EDGE_MODULES.items() if group in groups}
    if any(_on_a_service(each) for each in listed):
        edge.add(_SERVICE_BUS)
    return Switches(
        cloud=frozenset(module for group, module in CLOUD_MODULES.items() if group in groups),
        edge=frozenset(edge),
        controller_manager=bool(groups.intersection(CONTROLLED)),
    )


def _on_a_service(rendered: RenderedObject) -> bool:
    """Whether messages go to an HTTP service on the device, which EdgeCore's serviceBus calls."""
    spec = rendered.body.get("spec")
    return (
        rendered.kind == "RuleEndpoint"
        and isinstance(spec, Mapping)
        and spec.get("ruleEndpointType") == _SERVICE_BUS.lower()
    )
