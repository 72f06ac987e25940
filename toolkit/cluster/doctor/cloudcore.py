"""Is CloudCore set up for what we render? One check a function.

Its switches are off by default, and a missing one is never reported: the object is accepted and nothing happens.
Source: kubeedge/kubeedge v1.23.1 (cloudcore's configuration and its defaults, cloud/cmd/controllermanager).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.cluster.doctor.finding import error, some
from toolkit.cluster.doctor.patient import Part, Patient
from toolkit.cluster.doctor.versions import CLOUDCORE
from toolkit.errors import Problem
from toolkit.lint import kubeedge_config
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.kubeedge_config import DEFAULT_NODE_LIMIT, configurations
from toolkit.lint.pod_templates import pod_templates
from toolkit.render.kubeedge_config import HTTPS_PORT, WEBSOCKET_PORT
from toolkit.render.kubeedge_switches import CLOUD_MODULES, CONTROLLED

CONTROLLER_MANAGER = "^controller-?manager$"
ON_BY_DEFAULT = frozenset({"cloudHub", "edgeController", "deviceController", "syncController"})
_NAMESPACE, _NAME = "kubeedge", "cloudcore"

NO_CLOUDCORE = error(
    "D401",
    "There are devices and no CloudCore.",
    why="no device can join, and none gets its pods",
    cure="install CloudCore: keadm init",
)
NOT_RUNNING = error(
    "D402",
    "CloudCore or its controller manager has no pod that is available.",
    why="devices go on alone; nothing new reaches them",
    cure="kubectl describe it; its pods say why",
)
NO_CONFIGURATION = error(
    "D403",
    "CloudCore's configuration cannot be found.",
    why="nobody can see how CloudCore is set up",
    cure="install CloudCore by its chart or by keadm",
)
SWITCHED_OFF = error(
    "D404",
    "A module of CloudCore is off that our objects need.",
    why="the objects are accepted and nothing happens",
    cure="set modules.NAME.enable: true and restart CloudCore",
)
NO_CONTROLLER = error(
    "D405",
    "The controller manager of KubeEdge is missing.",
    why="the objects are accepted and nothing happens",
    cure="install the controller manager: controllerManager.enable=true in CloudCore's chart",
)
TOO_FEW = error(
    "D406",
    "CloudCore takes fewer devices than tiers.yaml has.",
    why="devices beyond the limit cannot connect",
    cure="raise modules.cloudHub.nodeLimit; CloudCore derives its other numbers from it",
)

NOT_AS_SAID = error(
    "D407",
    "CloudCore does not answer where tiers.yaml says.",
    why="devices dial an address or port that CloudCore does not have, or that its certificate does not hold",
    cure="tiers render --cloud-config CLUSTER --as-config-map, apply it by kubectl and restart CloudCore",
)


def cloudcore_is_there(patient: Patient) -> Iterator[Problem]:
    """CloudCore runs where tiers.yaml has devices."""
    if not _devices(patient):
        return
    part = patient.part(CLOUDCORE)
    if part is None:
        yield NO_CLOUDCORE.at(
            "CloudCore", f"no Deployment runs it, and tiers.yaml has {_devices(patient)} devices"
        )
    elif not part.runs:
        yield NOT_RUNNING.at(part.title, "no pod of it is available")


def switches_are_on(patient: Patient) -> Iterator[Problem]:
    """Each module is on that our objects need."""
    place, modules = _modules(patient)
    if modules is None:
        if _devices(patient) and patient.part(CLOUDCORE):
            yield NO_CONFIGURATION.at(place, "no cloudcore.yaml there")
        return
    wanted = {"cloudHub": ["every device"], "edgeController": ["every device"]}
    for group, module in CLOUD_MODULES.items():
        wanted.setdefault(module, []).extend(patient.needs(group))
    for module, names in wanted.items():
        on = mapping(modules.get(module)).get("enable", module in ON_BY_DEFAULT)
        if names and on is not True:
            cure = SWITCHED_OFF.cure.replace("NAME", module)
            yield SWITCHED_OFF.at(place, f"modules.{module} is off, and needed by {some(names)}", cure=cure)


def controller_manager_runs(patient: Patient) -> Iterator[Problem]:
    """The controller manager is there for NodeGroups, EdgeApplications and operations."""
    wanted = [name for group in CONTROLLED for name in patient.needs(group)]
    if not wanted:
        return
    part = patient.part(CONTROLLER_MANAGER)
    if part is None:
        yield NO_CONTROLLER.at("KubeEdge's controller manager", f"not there, and needed by {some(wanted)}")
    elif not part.runs:
        yield NOT_RUNNING.at(part.title, "no pod of it is available")


def every_device_may_connect(patient: Patient) -> Iterator[Problem]:
    """CloudCore takes as many devices as tiers.yaml has."""
    place, modules = _modules(patient)
    if modules is None:
        return
    limit = mapping(modules.get("cloudHub")).get("nodeLimit", DEFAULT_NODE_LIMIT)
    devices = _devices(patient)
    if isinstance(limit, int) and limit < devices:
        yield TOO_FEW.at(place, f"nodeLimit is {limit}, tiers.yaml has {devices} devices")


def devices_find_it(patient: Patient) -> Iterator[Problem]:
    """CloudCore has the addresses, names and ports that devices dial, in its certificate and where it listens."""
    said = patient.topology.clusters[patient.connection.cluster].kubeedge
    place, modules = _modules(patient)
    if said is None or modules is None:
        return
    hub = mapping(modules.get("cloudHub"))
    for key, wanted in (("advertiseAddress", said.addresses), ("dnsNames", said.names)):
        missing = [each for each in wanted if each not in sequence(hub.get(key))]
        if missing:
            message = f"modules.cloudHub.{key} lacks {some(missing)}"
            yield NOT_AS_SAID.at(place, message)
    for way, port in (("websocket", WEBSOCKET_PORT), ("https", HTTPS_PORT)):
        found = mapping(hub.get(way)).get("port", port)
        if found != port:
            yield NOT_AS_SAID.at(place, f"modules.cloudHub.{way}.port is {found}, devices dial {port}")


def configuration_is_sound(patient: Patient) -> Iterator[Problem]:
    """Cloudcore.yaml has no key that nobody reads and no number that CloudCore rewrites: the rules of lint."""
    if not _devices(patient):
        return
    body = patient.config_map(*_place(patient))
    if body is not None:
        document = Document({"apiVersion": "v1", "kind": "ConfigMap", **body})
        for rule in kubeedge_config.RULES:
            yield from rule.problems(document)


def _devices(patient: Patient) -> int:
    return sum(each.pool.nodes.total for each in patient.pools if each.tier_name == "edge")


def _modules(patient: Patient) -> tuple[str, Mapping[str, object] | None]:
    """Give the place of cloudcore.yaml and its modules; None when it is not there or is no YAML."""
    namespace, name = _place(patient)
    body = patient.config_map(namespace, name) if _devices(patient) else None
    document = Document({"kind": "ConfigMap", **(body or {})})
    found = next((each for each in configurations(document) if each.kind == "CloudCore"), None)
    return f"ConfigMap {namespace}/{name}", found.at("modules") if found else None


def _place(patient: Patient) -> tuple[str, str]:
    part = patient.part(CLOUDCORE)
    return (part.namespace, _mounted(part)) if part else (_NAMESPACE, _NAME)


def _mounted(part: Part) -> str:
    """Name the ConfigMap that the Deployment mounts."""
    for template in pod_templates(Document(part.body)):
        for volume in map(mapping, sequence(template.spec.get("volumes"))):
            named = text(mapping(volume.get("configMap")).get("name"))
            if named:
                return named
    return _NAME


CHECKS = (
    cloudcore_is_there,
    switches_are_on,
    controller_manager_runs,
    every_device_may_connect,
    devices_find_it,
    configuration_is_sound,
)
"""Every check of this subject."""
