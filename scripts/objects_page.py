"""The page docs/reference/objects.md: each object that rendering makes with its key, and what it leaves to others.

Kinds and addresses come from the first line of each template, keys from rendering every case of tests/golden. Called by
`docs.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolkit.render.objects import render
from toolkit.render.rendered import SUBMITTED, rank_of
from toolkit.topology.load import load
from toolkit.topology.schema import schema_text

REPOSITORY: Final = Path(__file__).resolve().parents[1]
FIRST_LINE: Final = re.compile(r"\{# .* → (?P<what>[^;]+); (?P<more>.*) #\}")
ADDRESS: Final = re.compile(r"https://\S+")

NOT_RENDERED: Final[Mapping[tuple[str, str], str]] = {
    ("apps.kubeedge.io", "EdgeApplication"): "it loses node selectors of its Deployments (decision 0009); "
    "a DaemonSet for each pool and configuration does the same",
    ("devices.kubeedge.io", "DeviceStatus"): "mappers on the devices write it; people read it",
    (
        "operations.kubeedge.io",
        "ConfigUpdateJob",
    ): "it runs text of its spec in a shell on devices and restarts "
    "EdgeCore; `tiers render --edge-config` gives the file",
    ("policy.kubeedge.io", "ServiceAccountAccess"): "no pod of ours on a device has a ServiceAccount's token",
    ("reliablesyncs.kubeedge.io", "ClusterObjectSync"): "CloudCore's own book of what devices have received",
    ("reliablesyncs.kubeedge.io", "ObjectSync"): "CloudCore's own book of what devices have received",
    (
        "autoscaling.k8s.io",
        "VerticalPodAutoscalerCheckpoint",
    ): "the VPA's recommender keeps its figures there",
    ("bus.volcano.sh", "Command"): "a single order; `tiers job suspend|resume` sends it",
    ("config.volcano.sh", "ColocationConfiguration"): "sharing of nodes with other work by Volcano's agent; "
    "machines of a tier are for its work alone",
    ("nodeinfo.volcano.sh", "Numatopology"): "Volcano's exporter on each node writes it",
    (
        "scheduling.volcano.sh",
        "PodGroup",
    ): "Volcano's controller makes it for each job and for each Deployment",
    ("shard.volcano.sh", "NodeShard"): "Volcano's sharding controller writes it, for its agent scheduler",
}
"""Group and kind of a CRD that no template makes, and why."""


@dataclass(frozen=True)
class Template:
    """One file of templates/."""

    path: str
    what: str
    """apiVersion and kind, or what the file is when it is no object."""
    address: str


def templates() -> Iterator[Template]:
    """Give every template that makes something, by path."""
    root = REPOSITORY / "templates"
    for path in sorted(root.glob("*/[!_]*.j2")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        found = FIRST_LINE.fullmatch(first)
        if found is None:
            raise SystemExit(f"{path}: its first line has to be {{# View → kind; address #}}")
        address = ADDRESS.search(found["more"])
        yield Template(
            path.relative_to(root).as_posix(), found["what"].strip(), address.group() if address else ""
        )


def rendered_kinds() -> dict[tuple[str, str], set[str]]:
    """Render every golden case; give apiVersion and kind → keys of tiers.yaml, names in them written NAME."""
    schema = json.loads(schema_text())
    kinds: dict[tuple[str, str], set[str]] = {}
    for folder in sorted((REPOSITORY / "tests" / "golden").iterdir()):
        own = folder / "tiers.yaml"
        topology = load([own if own.is_file() else REPOSITORY / "tiers.yaml"]).topology
        for each in render(topology):
            kinds.setdefault((each.api_version, each.kind), set()).add(key_of(each.source, schema))
    return kinds


def key_of(source: str, schema: Mapping[str, object]) -> str:
    """Write NAME for what a topology may call as it likes: `jobs.seg3d.data` → `jobs.NAME.data`."""
    here: object = schema
    words = []
    for word in source.split("."):
        here = _plain(here, schema)
        properties = here.get("properties", {})
        known = isinstance(properties, Mapping) and word in properties
        here = properties[word] if known else _of_any_name(here)
        words.append(word if known else "NAME")
    return ".".join(words)


def _of_any_name(node: Mapping[str, object]) -> object:
    """Give the schema of what stands under a name of the topology's own."""
    patterns = node.get("patternProperties")
    return (
        next(iter(patterns.values()), {})
        if isinstance(patterns, Mapping)
        else node.get("additionalProperties", {})
    )


def _plain(node: object, schema: Mapping[str, object]) -> Mapping[str, object]:
    """Follow references and take, of several forms, the one with keys."""
    while isinstance(node, Mapping):
        forms = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
        if "$ref" in node:
            definitions = schema["$defs"]
            assert isinstance(definitions, Mapping)  # noqa: S101  # JSON schema says so
            node = definitions[str(node["$ref"]).rpartition("/")[2]]
        elif isinstance(forms, list):
            plain = [_plain(each, schema) for each in forms]
            node = next(
                (each for each in plain if "properties" in each or "additionalProperties" in each), {}
            )
        else:
            return node
    return {}


def objects_page() -> str:
    """List each object and where it comes from, the files that are no objects, and the CRDs that are left out."""
    made = list(templates())
    kinds = rendered_kinds()
    lines = [
        "# Objects\n",
        "What tiers.yaml becomes. NAME stands for a name of yours. An object marked * runs once, when somebody submits",
        "it; `tiers apply` leaves it alone.\n",
        "| kind | apiVersion | from the key | template |",
        "|---|---|---|---|",
    ]
    for (version, kind), keys in sorted(kinds.items(), key=lambda item: (rank_of(item[0][1]), item[0])):
        mark = " *" if (version.partition("/")[0], kind) in SUBMITTED else ""
        names = ", ".join(
            f"[{each.path}]({each.address})" for each in made if each.what == f"{version} {kind}"
        )
        lines.append(
            f"| {kind}{mark} | {version} | {', '.join(f'`{key}`' for key in sorted(keys))} | {names} |"
        )
    objects = {f"{version} {kind}" for version, kind in kinds}
    lines += ["\n## Files for other programs\n", "| what | template |", "|---|---|"]
    lines += [f"| {each.what} | [{each.path}]({each.address}) |" for each in made if each.what not in objects]
    lines += ["\n## Custom kinds that are not rendered\n", "| kind | group | why |", "|---|---|---|"]
    lines += [f"| {kind} | {group} | {why} |" for (group, kind), why in sorted(NOT_RENDERED.items())]
    return "\n".join(lines) + "\n"
