"""Folders of CustomResourceDefinitions → the schemas in them. First step of `schema`; `tiers schema pull` fills one.

A folder holds CRDs as YAML or JSON, as a chart or `kubectl get crd -o yaml` gives them; whatever else lies there is
passed over. A pulled folder also has a manifest, which says of which Kubernetes it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from toolkit.errors import TiersError
from toolkit.lint.document import LARGEST_FILE, mapping, sequence, text
from toolkit.lint.schema_crd import served_schemas

MANIFEST = "manifest.json"
"""File of a pulled folder that says whose CRDs these are."""
CACHE = Path(".tiers") / "schemas"
"""Where pulled CRDs lie, beside tiers.yaml: a folder a cluster."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML, _JSON = {".yaml", ".yml"}, {".json"}
_CRD = "CustomResourceDefinition"


@dataclass(frozen=True)
class Crds:
    """What folders of CRDs say."""

    schemas: Mapping[tuple[str, str], Mapping[str, object]]
    """apiVersion and kind → openAPIV3Schema. Of two folders the first one counts."""
    kubernetes: str = ""
    """Version of Kubernetes that the first pulled folder names."""


def read_crds(folders: Iterable[Path]) -> Crds:
    """Read every CRD of some folders; a folder that is not there has none.

    Raises:
        TiersError: a file cannot be read, is too large, or is neither YAML nor JSON.
    """
    schemas: dict[tuple[str, str], Mapping[str, object]] = {}
    kubernetes = ""
    for folder in folders:
        for file in sorted(
            each for each in folder.rglob("*") if each.suffix in _YAML | _JSON and each.is_file()
        ):
            for document in _documents(file):
                if file.name == MANIFEST:
                    kubernetes = kubernetes or text(document.get("kubernetes"))
                for crd in _crds(document):
                    for api_version, kind, schema in served_schemas(crd):
                        schemas.setdefault((api_version, kind), schema)
    return Crds(schemas, kubernetes)


def cached_folders(beside: Path, cluster: str = "") -> tuple[Path, ...]:
    """Give the pulled folders of a site.

    Args:
        beside: the folder of tiers.yaml.
        cluster: its name in tiers.yaml; empty means all of them, by name.
    """
    cache = beside / CACHE
    if cluster:
        return (cache / cluster,)
    return tuple(sorted(each for each in cache.iterdir() if each.is_dir())) if cache.is_dir() else ()


def _crds(document: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    if document.get("kind") == _CRD:
        yield document
    elif text(document.get("kind")).endswith("List"):
        yield from (
            each for each in map(mapping, sequence(document.get("items"))) if each.get("kind") == _CRD
        )


def _documents(file: Path) -> list[Mapping[str, object]]:
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise TiersError(
                f"{file} is larger than {LARGEST_FILE} bytes", hint="give the folder of CRDs alone"
            )
        content = file.read_bytes()
        if file.suffix in _JSON:
            return [mapping(msgspec.json.decode(content))]
        if _CRD.encode() not in content:
            return []
        return [mapping(each) for each in yaml.load_all(content, Loader=_Loader)]
    except (OSError, ValueError, yaml.YAMLError, msgspec.DecodeError, RecursionError) as exc:
        raise TiersError(f"{file} holds no CRDs: {exc}", hint="correct it, or: tiers schema pull") from exc
