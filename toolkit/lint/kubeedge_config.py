"""Configurations of CloudCore and EdgeCore that start and then do something else. One rule a function.

Looked at are documents of kind CloudCore and EdgeCore, and ConfigMaps that hold one as `cloudcore.yaml` or
`edgecore.yaml`. `kubeedge_keys` says what is read; sources are kubeedge/kubeedge v1.23.1 and its issues.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.errors import Severity, TiersError
from toolkit.lint.document import Document, ValuePath, from_text, mapping, sequence, text, written
from toolkit.lint.kubeedge_keys import CLOUDCORE, EDGECORE, MEANT, Keys
from toolkit.lint.rule import Finding, rule

_KEYS = {"CloudCore": CLOUDCORE, "EdgeCore": EDGECORE}
_FILES = {"cloudcore.yaml": "CloudCore", "edgecore.yaml": "EdgeCore"}
QPS_OF_A_NODE, BURST_OF_A_NODE = 5, 10
DEFAULT_NODE_LIMIT = 500
"""What CloudCore takes without a nodeLimit."""


@dataclass(frozen=True)
class _Configuration:
    """A configuration and where it stands: by itself, or as a text in a ConfigMap (`inside`)."""

    kind: str
    body: Mapping[str, object]
    inside: ValuePath = ()

    def finding(self, path: ValuePath, message: str) -> Finding:
        """Point at a path of the configuration; in a ConfigMap at its text, and name the path."""
        return Finding(self.inside, f"{written(path)}: {message}") if self.inside else Finding(path, message)

    def at(self, *path: str) -> Mapping[str, object]:
        """Give the mapping at a path; an empty one where there is none."""
        found: Mapping[str, object] = self.body
        for part in path:
            found = mapping(found.get(part))
        return found


def configurations(document: Document) -> Iterator[_Configuration]:
    """Find the configurations of an object; a text that is not YAML gives none (L231 says so)."""
    if document.kind in _KEYS:
        yield _Configuration(document.kind, document.body)
    if document.kind == "ConfigMap":
        for name, content in mapping(document.body.get("data")).items():
            if name in _FILES and isinstance(content, str):
                parsed = _parsed(content, name)
                if isinstance(parsed, Mapping):
                    yield _Configuration(_FILES[name], parsed, ("data", name))


def _parsed(content: str, name: str) -> Mapping[str, object] | str:
    """Parse a text of a ConfigMap; give what is wrong with it when it is not one mapping."""
    try:
        found = from_text(f"kind: {_FILES[name]}\n{_without_kind(content)}", name)
    except TiersError as error:
        return error.message
    return found[0].body if len(found) == 1 else "it is not one YAML document"


def _without_kind(content: str) -> str:
    """Leave out the line of the kind, which some charts omit, so that there is always exactly one."""
    return "\n".join(line for line in content.splitlines() if not line.startswith("kind:"))


@rule(
    "L231",
    Severity.ERROR,
    why="the program does not start",
    cure="correct the YAML",
)
def is_yaml(document: Document) -> Iterator[Finding]:
    """A ConfigMap takes any text."""
    if document.kind != "ConfigMap":
        return
    for name, content in mapping(document.body.get("data")).items():
        if name in _FILES and isinstance(content, str):
            wrong = _parsed(content, name)
            if isinstance(wrong, str):
                yield Finding(("data", name), wrong)


@rule(
    "L232",
    Severity.ERROR,
    why="KubeEdge reads over keys that it does not know, so the default holds and nobody says so",
    cure="correct or remove the key",
)
def known_keys(document: Document) -> Iterator[Finding]:
    """The parser of both programs is not strict (sigs.k8s.io/yaml.Unmarshal over the defaults)."""
    for found in configurations(document):
        for path in _unknown(found.body, _KEYS[found.kind], ()):
            yield found.finding(path, f"there is no key '{path[-1]}'{_meant(path, _KEYS[found.kind])}")


def _unknown(body: Mapping[str, object], keys: Keys, path: ValuePath) -> Iterator[ValuePath]:
    for key, value in body.items():
        if key not in keys:
            yield (*path, key)
            continue
        below = keys[key]
        if below is not None and isinstance(value, Mapping):
            yield from _unknown(value, below, (*path, key))


def _meant(path: ValuePath, keys: Keys) -> str:
    key = str(path[-1])
    if key in MEANT:
        return f"; meant is {MEANT[key]}"
    for part in path[:-1]:
        keys = keys.get(str(part)) or {}
    near = difflib.get_close_matches(key, list(keys), n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    if len(path) == 1 and key in (CLOUDCORE.get("modules") or {}):
        return "; it belongs under modules"
    return ""


@rule(
    "L233",
    Severity.ERROR,
    why="CloudCore does not start, or devices do not trust its certificate",
    cure="write advertiseAddress: [IP, …] with every address that devices dial",
)
def advertised_addresses(document: Document) -> Iterator[Finding]:
    """The addresses go into the server's certificate; a text instead of a list cannot be read."""
    for found in configurations(document):
        hub = found.at("modules", "cloudHub")
        path = ("modules", "cloudHub", "advertiseAddress")
        if found.kind != "CloudCore" or hub.get("enable") is False or not hub:
            continue
        addresses = hub.get("advertiseAddress")
        if not isinstance(addresses, list):
            yield found.finding(path, "advertiseAddress is not a list of addresses")
        elif not addresses or not all(isinstance(each, str) and each for each in addresses):
            yield found.finding(path, "advertiseAddress has an empty address")


@rule(
    "L234",
    Severity.ERROR,
    why="CloudCore does not start",
    cure="write a whole number without quotes",
)
def node_limit_is_a_number(document: Document) -> Iterator[Finding]:
    """The limit is an int32 in Go; a text cannot be read into it."""
    for found in configurations(document):
        limit = found.at("modules", "cloudHub").get("nodeLimit", DEFAULT_NODE_LIMIT)
        if found.kind == "CloudCore" and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            yield found.finding(("modules", "cloudHub", "nodeLimit"), f"'{limit}' is not a number of nodes")


@rule(
    "L235",
    Severity.WARNING,
    why="CloudCore writes its own numbers into the ConfigMap at each start, so every diff shows a change",
    cure="write qps and burst as 5 and 10 times nodeLimit, and the workers and buffers at least as high as named",
)
def derived_numbers(document: Document) -> Iterator[Finding]:
    """AdjustCloudCoreConfig sets qps and burst always, and raises workers and buffers that are too low."""
    for found in configurations(document):
        limit = found.at("modules", "cloudHub").get("nodeLimit")
        if found.kind != "CloudCore" or not isinstance(limit, int) or isinstance(limit, bool):
            continue
        for path, lowest, exact in derived(limit):
            here = found.at(*path[:-1]).get(path[-1])
            if here is None and not exact:
                continue
            if here is None or (here != lowest if exact else isinstance(here, int) and here < lowest):
                said = f"CloudCore will make it {lowest} for nodeLimit {limit}"
                yield found.finding(path, f"{path[-1]} is {'not set' if here is None else here}; {said}")


def derived(limit: int) -> tuple[tuple[tuple[str, ...], int, bool], ...]:
    """Give what CloudCore derives from nodeLimit: path, number, and whether it is set always (else only raised)."""
    load, buffer = ("modules", "edgeController", "load"), ("modules", "edgeController", "buffer")
    return (
        (("kubeAPIConfig", "qps"), QPS_OF_A_NODE * limit, True),
        (("kubeAPIConfig", "burst"), BURST_OF_A_NODE * limit, True),
        ((*load, "queryNodeWorkers"), limit, False),
        ((*load, "createLeaseWorkers"), limit, False),
        ((*load, "patchNodeWorkers"), 100 + limit // 50, False),
        ((*buffer, "patchNode"), 1024 + limit // 2, False),
        ((*buffer, "queryNode"), 1024 + limit, False),
        ((*buffer, "createLease"), 1024 + limit, False),
    )


@rule(
    "L236",
    Severity.ERROR,
    why="EdgeCore refuses to start, or has no way to the cloud",
    cure="enable exactly one of websocket and quic",
)
def one_way_to_the_cloud(document: Document) -> Iterator[Finding]:
    """Both are switched by their own `enable`; websocket is on by default."""
    for found in configurations(document):
        hub = found.at("modules", "edgeHub")
        if found.kind != "EdgeCore" or hub.get("enable") is False or not ({"websocket", "quic"} & set(hub)):
            continue
        ways = [
            name
            for name, default in (("websocket", True), ("quic", False))
            if mapping(hub.get(name)).get("enable", default) is True
        ]
        if len(ways) != 1:
            yield found.finding(
                ("modules", "edgeHub"), f"{' and '.join(ways) or 'no way to the cloud'} enabled"
            )


@rule(
    "L237",
    Severity.ERROR,
    why="it lets anybody who reads the file join machines for twelve hours, and is of no use after",
    cure="leave token empty; hand it to the machine when it joins",
)
def no_token_in_a_file(document: Document) -> Iterator[Finding]:
    """The join token is a secret and changes every twelve hours."""
    for found in configurations(document):
        if found.kind == "EdgeCore" and text(found.at("modules", "edgeHub").get("token")):
            yield found.finding(("modules", "edgeHub", "token"), "holds a join token")


@rule(
    "L238",
    Severity.WARNING,
    why="EdgeCore that starts without the cloud waits for a CSINode that it cannot create",
    cure="set modules.edged.tailoredKubeletConfig.featureGates.DisableCSIVolumePlugin: true",
)
def starts_offline(document: Document) -> Iterator[Finding]:
    """Since 1.22 the CSI plugin can be switched off; with it on a start without network fails."""
    for found in configurations(document):
        edged = found.at("modules", "edged")
        if found.kind != "EdgeCore" or not edged or edged.get("enable") is False:
            continue
        gates = found.at("modules", "edged", "tailoredKubeletConfig", "featureGates")
        if gates.get("DisableCSIVolumePlugin") is not True:
            yield found.finding(("modules", "edged"), "the CSI plugin is on")


@rule(
    "L239",
    Severity.WARNING,
    why="pods of the cloud may be placed on the device, and pods without toleration fill it",
    cure="register the taint node-role.kubernetes.io/edge:NoSchedule in tailoredKubeletConfig.registerWithTaints",
)
def registers_a_taint(document: Document) -> Iterator[Finding]:
    """KubeEdge labels its nodes and sets no taint."""
    for found in configurations(document):
        edged = found.at("modules", "edged")
        if found.kind != "EdgeCore" or not edged or edged.get("enable") is False:
            continue
        taints = sequence(found.at("modules", "edged", "tailoredKubeletConfig").get("registerWithTaints"))
        if not taints:
            yield found.finding(("modules", "edged"), "the node registers without a taint")


RULES = (
    is_yaml,
    known_keys,
    advertised_addresses,
    node_limit_is_a_number,
    derived_numbers,
    one_way_to_the_cloud,
    no_token_in_a_file,
    starts_offline,
    registers_a_taint,
)
"""Every rule of this file, in order of code."""
