"""List the models of a registry; a version that cannot be used stands in the list with the reason."""

from __future__ import annotations

from toolkit.errors import TiersError
from toolkit.registry.catalogue import ROOT, ModelVersion, unchecked_manifest
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.keyring import Keyring
from toolkit.wire.signature import unseal


def list_models(
    store: PackStore, *, name: str = "", keyring: Keyring | None = None
) -> tuple[ModelVersion, ...]:
    """List versions by name and counter.

    Args:
        store: the registry.
        name: only this model; empty for all.
        keyring: when given, a version that nobody in it has signed gets that as its problem.
    """
    prefix = f"{ROOT}{name}/" if name else ROOT
    lines: list[ModelVersion] = []
    for ref in store.list_refs(prefix):
        found, _, version = ref.removeprefix(ROOT).partition("/")
        lines.append(_line(store, found, version, keyring))
    return tuple(sorted(lines, key=lambda line: (line.name, line.counter, line.version)))


def _line(store: PackStore, name: str, version: str, keyring: Keyring | None) -> ModelVersion:
    try:
        read = unchecked_manifest(store, name, version)
    except TiersError as error:
        return ModelVersion(name, version, "", 0, 0, 0, (), error.message)
    if read is None:
        return ModelVersion(name, version, "", 0, 0, 0, (), "removed while the list was made")
    artifact, manifest, sealed = read
    problem = ""
    if keyring is not None:
        try:
            unseal(store.get_sealed(artifact), "manifest", keyring, what=f"{name}@{version}")
        except TiersError as error:
            problem = error.message
    signers = tuple(signature.key for signature in sealed.signatures)
    return ModelVersion(
        name, version, artifact, manifest.counter, manifest.total_bytes, manifest.chunks, signers, problem
    )
