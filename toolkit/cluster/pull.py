"""A cluster's CRDs → a folder, so that objects can be checked without a cluster. `tiers schema pull` calls it.

After `connect`; `lint.schema_files` reads the folder. Kept are the served versions, without descriptions. A CRD is
written by somebody else: its name becomes a file name only when it is a plain DNS name, and its size has a limit.
Every file is written whole, the manifest last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.cluster.request import Connection
from toolkit.errors import ClusterError, IntegrityError, UnsafePathError
from toolkit.lint.document import mapping, sequence, text
from toolkit.lint.schema_crd import served_schemas
from toolkit.lint.schema_files import MANIFEST
from toolkit.sync.whole import write_whole

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FORMAT = 1
LARGEST_CRD = 2 * 2**20
"""Bytes; etcd takes no object above 1.5 MiB."""
MOST_CRDS = 5000
_PAGE = 50
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 240


@dataclass(frozen=True)
class Pulled:
    """What a pull wrote. `kinds` are apiVersion and kind of every served version, by name."""

    cluster: str
    context: str
    kubernetes: str
    folder: Path
    kinds: tuple[str, ...]
    written: tuple[str, ...]
    """Files that are new or changed."""
    removed: tuple[str, ...]
    """Files of CRDs that the cluster has no more."""


def pull(connection: Connection, folder: Path) -> Pulled:
    """Save the schemas of every CRD of a cluster.

    Args:
        connection: the way to the cluster.
        folder: made when it is missing; files of an earlier pull that stand for nothing any more are removed.

    Raises:
        RefusedError: this user may not list CRDs.
        UnreachableError: the server does not answer.
        UnsafePathError, IntegrityError: a CRD has no plain name, or is too large; then nothing was written.
        ClusterError: the folder cannot be written.
    """
    kubernetes = text(connection.get("/version").get("gitVersion"))
    files: dict[str, bytes] = {}
    kinds: list[str] = []
    for crd in _listed(connection):
        body = _kept(crd)
        name = _file_name(body)
        files[name] = msgspec.json.format(msgspec.json.encode(body), indent=1)
        if len(files[name]) > LARGEST_CRD:
            raise IntegrityError(
                f"the CRD {name} has more than {LARGEST_CRD} bytes", hint="tiers lint --crds DIR"
            )
        kinds += [f"{api_version} {kind}" for api_version, kind, _ in served_schemas(body)]
    manifest = {
        "format": FORMAT,
        "cluster": connection.cluster,
        "context": connection.context,
        "kubernetes": kubernetes,
        "pulled": connection.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "kinds": sorted(kinds),
    }
    try:
        written, removed = _write(folder, files, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    except OSError as exc:
        raise ClusterError(
            f"cannot write {exc.filename or folder}: {exc.strerror}", hint="make the folder writable"
        ) from exc
    return Pulled(
        connection.cluster, connection.context, kubernetes, folder, tuple(sorted(kinds)), written, removed
    )


def _listed(connection: Connection) -> Iterator[Mapping[str, object]]:
    query, number = {"limit": str(_PAGE)}, 0
    while True:
        page = connection.get(CRDS, **query)
        for each in sequence(page.get("items")):
            number += 1
            if number > MOST_CRDS:
                raise IntegrityError(
                    f"the cluster has more than {MOST_CRDS} CRDs", hint="tiers lint --crds DIR"
                )
            yield mapping(each)
        token = text(mapping(page.get("metadata")).get("continue"))
        if not token:
            return
        query["continue"] = token


def _file_name(crd: Mapping[str, object]) -> str:
    name = text(mapping(crd["metadata"]).get("name"))
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise UnsafePathError(
            f"a CRD of the cluster is called {name[:80]!r}, which is no name for a file",
            hint="ask who runs the cluster: an API server does not take such a name",
        )
    return f"{name}.json"


def _kept(crd: Mapping[str, object]) -> dict[str, object]:
    """Keep of a CRD what checking objects needs."""
    spec = mapping(crd.get("spec"))
    versions = [
        {
            "name": each.get("name"),
            "served": True,
            "storage": each.get("storage"),
            "schema": {"openAPIV3Schema": _plain(mapping(each.get("schema")).get("openAPIV3Schema"))},
        }
        for each in map(mapping, sequence(spec.get("versions")))
        if each.get("served")
    ]
    kept = {key: spec.get(key) for key in ("group", "names", "scope")}
    name = mapping(crd.get("metadata")).get("name")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {**kept, "versions": versions},
    }


def _plain(schema: object) -> object:
    """Leave out descriptions; a field that is called description is a mapping and stays."""
    if isinstance(schema, Mapping):
        return {
            name: _plain(value)
            for name, value in schema.items()
            if not (name == "description" and isinstance(value, str))
        }
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


def _write(
    folder: Path, files: Mapping[str, bytes], manifest: bytes
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make a folder hold these files and the manifest; give what was written and what was removed."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for name, content in sorted(files.items()) if not _holds(folder / name, content)]
    for name in written:
        write_whole(folder / name, files[name])
    write_whole(folder / MANIFEST, manifest)
    stale = sorted(
        each.name
        for each in folder.glob("*.json")
        if each.name not in files and each.name != MANIFEST and each.is_file() and not each.is_symlink()
    )
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    return tuple(written), tuple(stale)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
