"""The schemas of the API servers that our objects go to, as JSON schema: an unknown field anywhere is an error.

Core kinds come from the package data of kubernetes-validate (read, never imported: importing costs 0.3 s), the others
from the CRDs of other projects: TIERS_CRDS, else ../shared/crds, else .cache/crds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from tests.cluster.crds import find_crds

REPOSITORY = Path(__file__).parents[3]
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@cache
def _core_folder() -> Path:
    spec = find_spec("kubernetes_validate")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    schemas = Path(spec.submodule_search_locations[0], "kubernetes-json-schema")
    return max(
        schemas.glob("v*-local-strict"),
        key=lambda path: [int(part) for part in path.name[1:].split("-")[0].split(".")],
    )


@cache
def _definitions() -> Mapping[str, object]:
    text = (_core_folder() / "_definitions.json").read_text(encoding="utf-8")
    return json.loads(text.replace("/api/_definitions.json#", "#"))["$defs"]


@cache
def _crds() -> Mapping[tuple[str, str], Mapping[str, object]]:
    """Read every CRD of the folder, by group and kind."""
    folder = find_crds()
    assert folder is not None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/*.yaml"))]
    read = [each for text in texts for each in yaml.load_all(text, Loader=loader) if each]
    return {(each["spec"]["group"], each["spec"]["names"]["kind"]): each for each in read}


def _reachable(schema: object) -> dict[str, object]:
    """Keep the definitions that a schema needs: compiling all of them takes 60 ms, these 3."""
    found: dict[str, object] = {}
    waiting = [schema]
    while waiting:
        for part in json.dumps(waiting.pop()).split('"#/$defs/')[1:]:
            name = part.split('"', 1)[0]
            if name not in found:
                found[name] = _definitions()[name]
                waiting.append(found[name])
    return found


def _core(api_version: str, kind: str) -> dict[str, object]:
    group, _, version = api_version.rpartition("/")
    parts = [kind.lower(), group.removesuffix(".k8s.io").split(".")[0], version]
    name = "-".join(part for part in parts if part) + ".json"
    text = (_core_folder() / name).read_text(encoding="utf-8").replace("/api/_definitions.json#", "#")
    return json.loads(text)


def is_custom(api_version: str) -> bool:
    """Tell a kind of a CRD: the groups of Kubernetes itself have no dot or end in k8s.io, and one other ends so too."""
    group = api_version.rpartition("/")[0]
    return ("." in group and not group.endswith("k8s.io")) or group.startswith("autoscaling.k8s.io")


def _strict(schema: object, *, top: bool = True) -> object:
    """Turn a structural schema of a CRD into JSON schema that refuses unknown fields."""
    if not isinstance(schema, dict):
        return schema
    result = {
        key: value for key, value in schema.items() if not key.startswith("x-") and key != "description"
    }
    for key in ("items", "additionalProperties", "not"):
        if isinstance(result.get(key), dict):
            result[key] = _strict(result[key], top=False)
    for key in ("anyOf", "allOf", "oneOf"):
        if key in result:
            result[key] = [_strict(each, top=False) for each in result[key]]
    if "properties" in result:
        properties = {name: _strict(each, top=False) for name, each in result["properties"].items()}
        if top or "template" in properties:
            properties |= {"metadata": {"$ref": f"#/$defs/{META}"}} if "metadata" in properties else {}
        result["properties"] = properties
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    return result


def _custom(api_version: str, kind: str) -> object:
    group, _, version = api_version.partition("/")
    crd = _crds()[group, kind]
    found = [each for each in crd["spec"]["versions"] if each["name"] == version]
    assert found, f"{kind} has no version {version}"
    schema = found[0]["schema"]["openAPIV3Schema"]
    # A CRD may leave these three out (KubeEdge's Rule does); the API server knows them anyway.
    implied = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return _strict({**schema, "properties": {**implied, **schema.get("properties", {})}})


@cache
def _validator(api_version: str, kind: str) -> jsonschema_rs.Validator:
    schema = _custom(api_version, kind) if is_custom(api_version) else _core(api_version, kind)
    assert isinstance(schema, dict)
    return jsonschema_rs.validator_for({**schema, "$defs": _reachable(schema)})


@pytest.fixture
def schema_errors(require: Callable[[str], None]) -> Callable[[Mapping[str, object]], list[str]]:
    """Give a function that lists what an API server would refuse in an object, each with its path."""

    def check(body: Mapping[str, object]) -> list[str]:
        kind = str(body["kind"])
        if is_custom(str(body["apiVersion"])):
            require("crds")
        errors = _validator(str(body["apiVersion"]), kind).iter_errors(body)
        return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in errors]

    return check
