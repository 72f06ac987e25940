"""One version of a registry as its manifest tells it: what it needs, how it is checked, what is done around it.

`tiers model show` prints it; `list` is the short form of many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.errors import RegistryError, TiersError
from toolkit.registry.catalogue import unchecked_manifest
from toolkit.registry.countersign import plans_of
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import Digest
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest
from toolkit.wire.plan import PlanFor
from toolkit.wire.signature import unseal
from toolkit.wire.stages import Stage


@dataclass(frozen=True)
class Shown:
    """A version."""

    artifact: Digest
    manifest: Manifest
    signed_by: tuple[str, ...]
    """Ids of keys; not checked when no keyring was given."""
    plans: tuple[PlanFor, ...] = ()
    """Countersigned plans of it, and for which machines."""
    problem: str = ""
    """Why it cannot be used; empty when it can, or nobody asked."""


def show_model(store: PackStore, name: str, version: str, *, keyring: Keyring | None = None) -> Shown:
    """Read a version's manifest.

    Raises:
        RegistryError: it is not there.
        IntegrityError: it was damaged.
    """
    read = unchecked_manifest(store, name, version)
    if read is None:
        raise RegistryError(
            f"{name}@{version} is not in this registry", hint=f"what is there: tiers model list {name}"
        )
    artifact, manifest, sealed = read
    problem = ""
    if keyring is not None:
        try:
            unseal(store.get_sealed(artifact), "manifest", keyring, what=f"{name}@{version}")
        except TiersError as error:
            problem = error.message
    signers = tuple(each.key for each in sealed.signatures)
    return Shown(artifact, manifest, signers, tuple(plans_of(store, name, version)), problem)


def describe_stages(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Give a line for each stage: where it stands, and what it does."""
    for part, stages in (("pre", manifest.stages.pre), ("post", manifest.stages.post)):
        for number, stage in enumerate(stages, 1):
            yield f"{part} {number}", _line(stage)


def _line(stage: Stage) -> str:
    params = ", ".join(f"{name} {_text(value)}" for name, value in sorted(stage.params.items()))
    way = " ".join(stage.of) + (f" → {' '.join(stage.into)}" if stage.into else "")
    return f"{stage.key}: {way}{' (kept)' if stage.keep else ''}{'; ' + params if params else ''}"


def _text(value: object) -> str:
    return " ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else str(value)
