"""Make a plan that one device has built one that others may run: look at it, store it, seal it with the registry's key.

    builder: build, golden check, seal -> inbox (`tiers-edge send`) -> here -> Ref plans/NAME/VERSION/MACHINE
        -> `fleet.plan_board` announces it -> machines of that class fetch it instead of building

A plan is executable code, so two keys stand behind it: the builder's says that it came out of this model and passed its
golden check on such a machine; the registry's says that the builder is one of ours and the model is the one we pushed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import (
    GateRefusedError,
    IntegrityError,
    RegistryError,
    RemoteUnavailableError,
    TiersError,
    UsageError,
)
from toolkit.protocol.offer import lies_within
from toolkit.registry.catalogue import Artifact, open_artifact, open_model, ref_name
from toolkit.registry.pieces import new_chunks, pieces_of
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.promise import write_promised
from toolkit.sync.ref import Ref
from toolkit.wire.digest import Digest
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.index import Index, distinct_chunks, encode_index, file_entry
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Lineage, Manifest, decode_manifest, encode_manifest
from toolkit.wire.plan import PLAN_FILE, BuiltPlan, PlanFor, decode_built_plan
from toolkit.wire.signature import Sealed, seal, unseal

ROOT = "plans/"
STATEMENT_FILE = "built.json"
"""Beside PLAN_FILE in what a builder sends: its sealed BuiltPlan."""
_MOST_STATEMENT = 128 * 1024
_MACHINE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Countersigned:
    """What was done."""

    name: str
    version: str
    artifact: Digest
    """Of kind plan."""
    machine: str
    """Key of the machines that it is for."""
    gpu: str
    tensorrt: str
    builder: str
    plan_bytes: int
    repeated: bool
    """It was there already."""


def countersign(store: PackStore, folder: Path, keyring: Keyring, key: Ed25519PrivateKey) -> Countersigned:
    """Check a plan and its builder's word, and store it as an artifact of kind plan. Repeating it is harmless.

    Args:
        store: the registry that holds the model.
        folder: with PLAN_FILE and STATEMENT_FILE, as a builder sends it.
        keyring: whose builders and whose registry we trust.
        key: the registry's.

    Raises:
        SignatureError: no trusted builder sealed it, or the model is not signed by a trusted registry.
        IntegrityError: the plan is not the one that the builder speaks of, or a document is damaged.
        GateRefusedError: its golden result does not keep what the model's manifest demands.
        RegistryError: the model is not in the registry, a file cannot be read, or another plan has its place.
    """
    built = _read_statement(folder / STATEMENT_FILE, keyring)
    model = open_model(store, built.name, built.version, keyring)
    _check_model(built, model)
    files = ((PLAN_FILE, folder / PLAN_FILE),)
    index = _read_plan(folder / PLAN_FILE, built)
    manifest = _manifest(built, model.manifest, index)
    artifact, payload = encode_manifest(manifest)
    ref = f"{ROOT}{built.name}/{built.version}/{built.made_for.machine.key}"
    existing = store.read_ref(ref)
    if (
        existing is not None
        and open_artifact(store, existing.digest, keyring).manifest.index != manifest.index
    ):
        raise RegistryError(
            f"another plan for these machines ({built.made_for.machine.gpu}) has been countersigned already",
            hint=f"devices may run it; to take it back: tiers model withdraw-plan {built.name}@{built.version}"
            f" {built.made_for.machine.key}",
        )
    store.add(new_chunks(files, index, set(store.missing(each.digest for each in distinct_chunks(index)))))
    store.put_whole_index(index)
    if existing is None:
        store.put_sealed(artifact, seal(payload, "manifest", key))
        if not write_promised(store, ref, Ref(kind="manifest", digest=artifact)):
            raise RegistryError("somebody else has just countersigned such a plan", hint="try again")
    return Countersigned(
        name=built.name,
        version=built.version,
        artifact=artifact if existing is None else existing.digest,
        machine=built.made_for.machine.key,
        gpu=built.made_for.machine.gpu,
        tensorrt=built.made_for.machine.tensorrt,
        builder=built.builder,
        plan_bytes=built.plan_bytes,
        repeated=existing is not None,
    )


def plans_of(store: PackStore, name: str, version: str) -> Iterator[PlanFor]:
    """List for which machines a version has countersigned plans; whose seals they carry is asked when one is used.

    Raises:
        IntegrityError: a manifest was damaged.
    """
    for ref in store.list_refs(f"{ROOT}{name}/{version}/"):
        found = store.read_ref(ref)
        if found is not None:
            what, most = f"manifest {found.digest[:12]}", 2 * MAX_DOCUMENT_BYTES
            sealed = decode_json(store.get_sealed(found.digest), Sealed, what=what, limit=most)
            plan = decode_manifest(sealed.payload)[1].plan
            if plan is not None:
                yield plan


def countersigned(
    store: PackStore, model: Artifact, keyring: Keyring
) -> Iterator[tuple[str, Artifact | IntegrityError]]:
    """Give the plans of a version that devices may have: key of the machines, and the artifact or what is wrong.

    Raises:
        IntegrityError: a Ref was damaged.
        RemoteUnavailableError: the registry does not answer.
    """
    root = f"{ROOT}{model.manifest.name}/{model.manifest.version}/"
    for ref in store.list_refs(root):
        found = store.read_ref(ref)
        if found is None:
            continue  # taken back at this moment
        machine = ref.removeprefix(root)
        try:
            plan = open_artifact(store, found.digest, keyring)
        except RemoteUnavailableError:
            raise
        except TiersError as error:
            yield machine, IntegrityError(error.message)
            continue
        said = plan.manifest.plan
        if said is None or said.artifact != model.id or said.machine.key != machine:
            yield machine, IntegrityError(f"{ref} leads to something else: {plan.label}")
        else:
            yield machine, plan


def withdraw(store: PackStore, name: str, version: str, machine: str) -> bool:
    """Take a plan back: no device fetches it any more, and another one may be countersigned in its place.

    What devices have fetched they keep; it passed their own golden checks. Repeating it is harmless.

    Args:
        store: the registry.
        name: of the model.
        version: likewise.
        machine: key of the machines, as `tiers model show` lists it.

    Returns:
        Whether it was there.

    Raises:
        RegistryError: no version has such a name.
        UsageError: no machines have such a key.
    """
    ref_name(name, version)
    if not _MACHINE.fullmatch(machine):
        raise UsageError(
            f"{machine[:80]!r} is no key of machines", hint=f"tiers model show {name}@{version} lists them"
        )
    return store.delete_ref(f"{ROOT}{name}/{version}/{machine}")


def _read_statement(file: Path, keyring: Keyring) -> BuiltPlan:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_STATEMENT + 1)
    except OSError as error:
        hint = f"a builder sends {PLAN_FILE} and {STATEMENT_FILE}: tiers inbox get DEVICE plans FOLDER"
        raise RegistryError(f"{file} cannot be read: {error.strerror}", hint=hint) from error
    return decode_built_plan(unseal(data, "plan", keyring, what=str(file)), what=str(file))


def _check_model(built: BuiltPlan, model: Artifact) -> None:
    label, manifest = f"{built.name}@{built.version}", model.manifest
    if model.id != built.made_for.artifact:
        raise IntegrityError(
            f"the plan of {built.builder} was made of artifact {built.made_for.artifact[:12]}, and {label} here is"
            f" {model.id[:12]}",
            hint="build it again from the version that this registry holds",
        )
    machine, requires = built.made_for.machine, manifest.requires
    fits = lies_within(machine.tensorrt, requires.tensorrt) and lies_within(machine.l4t, requires.l4t)
    capabilities = requires.compute_capabilities
    if not fits or (capabilities and machine.capability not in capabilities):
        raise GateRefusedError(f"{label} does not allow machines such as that of {built.builder}: {machine}")
    if manifest.golden is None:
        raise GateRefusedError(f"{label} has no golden examples, so nothing shows that a plan of it is right")
    if built.golden.accuracy < manifest.golden.min_accuracy:
        raise GateRefusedError(
            f"the plan of {built.builder} has accuracy {built.golden.accuracy:g} on the golden examples;"
            f" {label} demands {manifest.golden.min_accuracy:g}",
            hint="look at the model's precision on that machine before anybody runs it",
        )
    if 0 < requires.p95_seconds < built.golden.p95_seconds:
        raise GateRefusedError(
            f"the plan of {built.builder} takes {built.golden.p95_seconds:g} s;"
            f" {label} allows {requires.p95_seconds:g} s"
        )


def _read_plan(file: Path, built: BuiltPlan) -> Index:
    """Cut the plan, and check in the same pass that it is the one that was sealed."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error
    total, refs = blake3(), []
    if size == built.plan_bytes:
        for ref, piece in pieces_of(file):
            total.update(piece)
            refs.append(ref)
    if not refs or total.hexdigest() != built.plan:
        raise IntegrityError(
            f"{file} is not the plan that {built.builder} has sealed", hint="fetch it again: tiers inbox get"
        )
    return Index(entries=(file_entry(PLAN_FILE.encode(), refs),))


def _manifest(built: BuiltPlan, model: Manifest, index: Index) -> Manifest:
    digest, data = encode_index(index)
    figures = {"examples": float(built.golden.examples), "worst_difference": built.golden.worst_difference}
    return Manifest(
        kind="plan",
        name=built.name,
        version=built.version,
        counter=model.counter,
        index=digest,
        index_bytes=len(data),
        total_bytes=index.total_bytes,
        chunks=len(distinct_chunks(index)),
        plan=built.made_for,
        lineage=Lineage(parent=built.made_for.artifact, made_by=f"built by {built.builder}", metrics=figures),
    )
