"""What a registry holds: names, versions and their manifests, read through the Refs and checked against a keyring.

`push` asks it for the versions before, `fleet.rollout` and the depot for the artifact that a name means, the CLI for
the list.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import MissingObjectError, RegistryError
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import NAME, VERSION, Manifest, decode_manifest
from toolkit.wire.signature import Sealed, unseal

ROOT = "models/"


@dataclass(frozen=True)
class Artifact:
    """A version of a model whose manifest is signed by somebody we trust."""

    id: Digest
    manifest: Manifest
    sealed: bytes
    """The sealed manifest as the registry holds it; this is what devices get."""

    @property
    def label(self) -> str:
        """Give NAME@VERSION."""
        return f"{self.manifest.name}@{self.manifest.version}"


@dataclass(frozen=True)
class ModelVersion:
    """One line of the list of models."""

    name: str
    version: str
    artifact: str
    counter: int
    total_bytes: int
    chunks: int
    signed_by: tuple[str, ...]
    """Ids of keys; not checked when the list was made without a keyring."""
    problem: str = ""
    """Why it cannot be used; empty when it can."""


def ref_name(name: str, version: str) -> str:
    """Give the Ref of a version.

    Raises:
        RegistryError: name or version has characters that are not allowed.
    """
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"{name[:80]!r} is no name for a model",
            hint="use lower-case letters, digits and dashes, 63 at most",
        )
    if not VERSION.fullmatch(version):
        raise RegistryError(
            f"{version[:80]!r} is no version", hint="use letters, digits and . + _ -, 64 at most"
        )
    return f"{ROOT}{name}/{version}"


def open_model(store: PackStore, name: str, version: str, keyring: Keyring) -> Artifact:
    """Give the artifact of a version, its signature checked.

    Raises:
        RegistryError: there is no such name or version, or it belongs to another one.
        SignatureError: nobody we trust has signed it.
        IntegrityError: the Ref or the manifest was damaged.
    """
    ref = store.read_ref(ref_name(name, version))
    if ref is None or ref.kind != "manifest":
        raise _unknown(store, name, version)
    artifact = open_artifact(store, ref.digest, keyring)
    if (artifact.manifest.name, artifact.manifest.version) != (name, version):
        raise RegistryError(
            f"{name}@{version} in {store.remote.url} leads to the manifest of {artifact.label}",
            hint="the Ref was written by somebody else; push that version again under a new name",
        )
    return artifact


def open_artifact(store: PackStore, artifact: Digest, keyring: Keyring) -> Artifact:
    """Give an artifact by its id, its signature checked. Errors as in `open_model`."""
    what = f"manifest {artifact[:12]} in {store.remote.url}"
    try:
        sealed = store.get_sealed(parse_digest(artifact, what="artifact"))
    except MissingObjectError as error:
        raise RegistryError(f"{what} is not there", hint="push the model again") from error
    found, manifest = decode_manifest(unseal(sealed, "manifest", keyring, what=what))
    return Artifact(found, manifest, sealed)


def versions_of(store: PackStore, name: str) -> tuple[str, ...]:
    """List the versions of a name, in the order of their Refs."""
    prefix = f"{ROOT}{name}/"
    return tuple(ref.removeprefix(prefix) for ref in store.list_refs(prefix))


def unchecked_manifest(store: PackStore, name: str, version: str) -> tuple[Digest, Manifest, Sealed] | None:
    """Read a version's manifest without asking who signed it: for lists and for counting, never for shipping.

    Raises:
        IntegrityError: it was damaged.
    """
    ref = store.read_ref(ref_name(name, version))
    if ref is None:
        return None
    sealed = decode_json(
        store.get_sealed(ref.digest), Sealed, what=f"manifest {ref.digest[:12]}", limit=2 * MAX_DOCUMENT_BYTES
    )
    artifact, manifest = decode_manifest(sealed.payload)
    return artifact, manifest, sealed


def _unknown(store: PackStore, name: str, version: str) -> RegistryError:
    known = versions_of(store, name)
    if known:
        message = f"{store.remote.url} has no version {version} of {name}; it has {', '.join(known[-8:])}"
        return RegistryError(message, hint=f"tiers model push FILE --name {name} --version {version}")
    return RegistryError(
        f"{store.remote.url} has no model {name}",
        hint="tiers model list shows what there is; tiers model push adds one",
    )
