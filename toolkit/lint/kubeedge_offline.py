"""What a device needs to live alone for more than a day, beyond its pods' settings (`kubeedge`). One rule a function.

Configurations of EdgeCore, and pods on the edge that depend on the cloud while they start. Source: kubeedge/kubeedge
v1.23.1 and its issues; the checklist that these rules and what we render stand for is in the tests of facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.kubeedge_config import configurations
from toolkit.lint.pod_templates import PodTemplate, pod_templates
from toolkit.lint.rule import Finding, rule

_CLUSTER_NAME = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\.svc\b")
_ASKS_THE_CLOUD = re.compile(r"https?://|\b(curl|wget|nslookup|dig|nc)\b")
_OWN_HOST = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])")
_OLD_MOSQUITTO = re.compile(r"(^|/)eclipse-mosquitto:1(\.|$|-)")
_GC_DEFAULT = 85
_INTERNAL = 0


def _edge(document: Document) -> Iterator[PodTemplate]:
    return (template for template in pod_templates(document) if template.on_edge)


def _words(container: Mapping[str, object]) -> str:
    """Give what a container is told: its command, arguments and plain variables."""
    told = [*sequence(container.get("command")), *sequence(container.get("args"))]
    told += [mapping(each).get("value") for each in sequence(container.get("env"))]
    return " ".join(text(each) for each in told)


@rule(
    "L264",
    Severity.WARNING,
    why="without the cloud the name does not resolve or the call fails, and after a reboot the pod never starts",
    cure="talk to what is on the device (127.0.0.1), and let the program itself wait for the cloud while it works",
)
def starts_without_the_cloud(document: Document) -> Iterator[Finding]:
    """Names of the cluster need its DNS and network; an init container that asks the cloud holds up all others."""
    for template in _edge(document):
        for path, container in template.containers():
            words = _words(container)
            if _CLUSTER_NAME.search(words):
                yield Finding(path, f"needs {_CLUSTER_NAME.findall(words)[0]} of the cluster")
            elif "initContainers" in path and _ASKS_THE_CLOUD.search(_OWN_HOST.sub("", words)):
                yield Finding(path, "an init container that asks over the network")


@rule(
    "L265",
    Severity.WARNING,
    why="messages that wait are gone with a restart, and anybody on the device's network can read and send",
    cure="run a broker of your own with persistence and a login; set mosquitto.enable=false in KubeEdge's chart",
)
def broker_keeps_messages(document: Document) -> Iterator[Finding]:
    """EdgeCore's own broker is memory only; the chart's is Mosquitto 1.6 without persistence, for anybody."""
    for found in configurations(document):
        bus = found.at("modules", "eventBus")
        if found.kind == "EdgeCore" and bus.get("enable", True) is True and bus.get("mqttMode") == _INTERNAL:
            yield found.finding(("modules", "eventBus", "mqttMode"), "EdgeCore's own broker keeps nothing")
    for template in pod_templates(document):
        for path, container in template.containers(init=False):
            if _OLD_MOSQUITTO.search(text(container.get("image"))):
                yield Finding((*path, "image"), f"{container['image']} with its stock configuration")


@rule(
    "L266",
    Severity.ERROR,
    why="EdgeCore reads the keys of v1alpha2 only: what stands elsewhere does nothing",
    cure="write apiVersion: edgecore.config.kubeedge.io/v1alpha2, and its keys (tiers render --edge-config)",
)
def current_edgecore(document: Document) -> Iterator[Finding]:
    """v1alpha1 had the kubelet's settings beside edged's own."""
    for found in configurations(document):
        if found.kind == "EdgeCore" and text(found.body.get("apiVersion")).endswith("/v1alpha1"):
            yield found.finding(("apiVersion",), "edgecore.config.kubeedge.io/v1alpha1")


@rule(
    "L267",
    Severity.WARNING,
    why="the metaServer of a device refuses every request while the cloud is away",
    cure="leave featureGates.requireAuthorization off on devices that have to work alone",
)
def answers_offline(document: Document) -> Iterator[Finding]:
    """The check of rights goes to the cloud."""
    for found in configurations(document):
        if found.at("featureGates").get("requireAuthorization") is True:
            yield found.finding(("featureGates", "requireAuthorization"), "requireAuthorization is on")


@rule(
    "L268",
    Severity.WARNING,
    why="on a full disk the image of yesterday goes first, and without a network there is no way back",
    cure="set modules.edged.tailoredKubeletConfig.imageGCHighThresholdPercent: 95 and imageGCLowThresholdPercent: 90",
)
def way_back_is_kept(document: Document) -> Iterator[Finding]:
    """The kubelet collects images that no pod uses from 85 % on."""
    for found in configurations(document):
        edged = found.at("modules", "edged")
        if found.kind != "EdgeCore" or not edged or edged.get("enable") is False:
            continue
        limit = found.at("modules", "edged", "tailoredKubeletConfig").get(
            "imageGCHighThresholdPercent", _GC_DEFAULT
        )
        if isinstance(limit, int) and limit <= _GC_DEFAULT:
            yield found.finding(("modules", "edged"), f"images are collected from {limit} % on")


@rule(
    "L269",
    Severity.WARNING,
    why="a device whose certificate ran out has to join again by hand; without static pods nothing starts by itself",
    cure="keep modules.edgeHub.rotateCertificates on, and tailoredKubeletConfig.staticPodPath set",
)
def comes_back_alone(document: Document) -> Iterator[Finding]:
    """Certificates live 365 days and are renewed online only; static pods need no copy of the cloud's objects."""
    for found in configurations(document):
        if found.kind != "EdgeCore":
            continue
        if found.at("modules", "edgeHub").get("rotateCertificates") is False:
            yield found.finding(("modules", "edgeHub", "rotateCertificates"), "certificates are not renewed")
        if found.at("modules", "edged", "tailoredKubeletConfig").get("staticPodPath") == "":
            path = ("modules", "edged", "tailoredKubeletConfig", "staticPodPath")
            yield found.finding(path, "no folder for static pods")


RULES = (
    starts_without_the_cloud,
    broker_keeps_messages,
    current_edgecore,
    answers_offline,
    way_back_is_kept,
    comes_back_alone,
)
"""Every rule of this file, in order of code."""
