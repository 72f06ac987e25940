"""Put a model into a registry: look at it, cut it, store what is new, sign it, name it - in that order.

chunks -> index -> patches from earlier versions (`patches`) -> sealed manifest -> Ref `models/NAME/VERSION`: whoever
sees the Ref sees everything, and a push that was interrupted is finished by repeating it. Next on the way:
`fleet.rollout`, which ships it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import IntegrityError, RegistryError
from toolkit.protocol.stage_kinds import Form
from toolkit.protocol.stages import fit_stages
from toolkit.registry.catalogue import ref_name, unchecked_manifest, versions_of
from toolkit.registry.golden import check_against, read_golden_names
from toolkit.registry.golden_forms import check_forms, read_golden_forms
from toolkit.registry.onnx_header import OnnxHeader, read_onnx_header
from toolkit.registry.patches import Earlier, PatchRules, Shipment, Target, make_patches
from toolkit.registry.pieces import new_chunks, pieces_of
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.promise import write_promised
from toolkit.sync.ref import Ref
from toolkit.wire.digest import Digest
from toolkit.wire.index import Index, distinct_chunks, encode_index, file_entry
from toolkit.wire.manifest import Golden, Lineage, Manifest, Requires, encode_manifest
from toolkit.wire.signature import seal
from toolkit.wire.stages import NO_STAGES, Stages

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"
MAX_ONNX_IR = 10
MAX_OPSET = 20
"""JetPack 6's last ONNX Runtime refuses newer ones, so a push does too unless told otherwise."""


@dataclass(frozen=True)
class PushRequest:
    """What to push, and under which name."""

    model: Path
    golden: Path
    name: str
    version: str
    absolute_tolerance: float = 1e-3
    relative_tolerance: float = 1e-3
    min_accuracy: float = 0.0
    """Share of the golden labels that a device must hit, 0 to 1."""
    floor: int = 0
    """Devices that have seen this version refuse versions with a lower counter."""
    requires: Requires = field(default_factory=Requires)
    """What a device must have; what the model's own bytes tell (ONNX versions, disk) is added."""
    lineage: Lineage = field(default_factory=Lineage)
    allow_newer_onnx: bool = False
    patches: PatchRules = field(default_factory=PatchRules)
    stages: Stages = NO_STAGES
    """What is done before and after the engine; the golden examples go in before and come out after that."""


@dataclass(frozen=True)
class PushResult:
    """What a push did. Bytes are of the files unless their name says stored."""

    name: str
    version: str
    artifact: Digest
    counter: int
    repeated: bool
    """The registry held exactly this version already."""
    total_bytes: int
    chunks: int
    new_chunks: int
    """Chunks that the registry did not have."""
    new_stored_bytes: int
    """What these take in the registry, compressed."""
    previous: str
    """The version before this one; empty for the first."""
    delta_chunks: int
    """Chunks that the previous version does not have: what a device that runs it fetches."""
    delta_bytes: int
    shipments: tuple[Shipment, ...] = ()
    """How devices with one of the versions before get to this one; empty when the push was a repeated one."""

    @property
    def delta_share(self) -> float:
        """Give the part of this version that the previous one does not have, 0 to 1."""
        return self.delta_bytes / self.total_bytes if self.total_bytes else 0.0


def push(store: PackStore, request: PushRequest, key: Ed25519PrivateKey) -> PushResult:
    """Store a model with its golden examples as a signed artifact. Repeating it is harmless.

    Raises:
        RegistryError: a file cannot be read, the name is not allowed, the model is newer than devices can load, or the
            version is there with other content.
        IntegrityError: the model is not ONNX, or its stages or the golden file do not fit it.
        TornReadError: a file changed while it was read.
        RemoteUnavailableError: the registry is full or does not answer.
    """
    name = ref_name(request.name, request.version)
    header = _checked_header(request)
    _check_golden(request, header)
    files = ((GOLDEN_FILE, request.golden), (MODEL_FILE, request.model))
    index = Index(
        entries=tuple(file_entry(path.encode(), [ref for ref, _ in pieces_of(file)]) for path, file in files)
    )
    existing = unchecked_manifest(store, request.name, request.version)
    before = _versions_before(store, request, below=existing[1].counter if existing else None)
    manifest = _manifest(request, header, index, before.counter)
    if existing is not None:
        _check_same(existing[1], manifest, request)
    # Also when the version is there already: a pack that was lost is healed by pushing again.
    missing = set(store.missing(ref.digest for ref in distinct_chunks(index)))
    added = store.add(new_chunks(files, index, missing))
    store.put_whole_index(index)
    shipments: tuple[Shipment, ...] = ()
    if existing is not None:
        artifact, manifest = existing[0], existing[1]
    else:
        target = Target(request.name, request.version, before.counter, index, files)
        patches, shipments = make_patches(store, target, before.versions, key, request.patches)
        artifact, payload = encode_manifest(msgspec.structs.replace(manifest, patches=patches, format=0))
        store.put_sealed(artifact, seal(payload, "manifest", key))
        if not write_promised(store, name, Ref(kind="manifest", digest=artifact)):
            raise RegistryError(
                f"somebody else has just pushed {request.name}@{request.version}",
                hint="push again; if the content differs, with a new --version",
            )
    delta = [ref for ref in distinct_chunks(index) if ref.digest not in before.chunks]
    return PushResult(
        name=manifest.name,
        version=manifest.version,
        artifact=artifact,
        counter=manifest.counter,
        repeated=existing is not None,
        total_bytes=manifest.total_bytes,
        chunks=manifest.chunks,
        new_chunks=added.chunks,
        new_stored_bytes=added.stored_bytes,
        previous=before.versions[0].version if before.versions else "",
        delta_chunks=len(delta),
        delta_bytes=sum(ref.size for ref in delta),
        shipments=shipments,
    )


@dataclass(frozen=True)
class _Before:
    """What the registry knows of a name."""

    counter: int
    """For the version to come."""
    versions: tuple[Earlier, ...]
    """Newest first."""
    chunks: frozenset[Digest]
    """Of the newest."""


def _checked_header(request: PushRequest) -> OnnxHeader:
    header = read_onnx_header(request.model)
    if header.weights_outside:
        raise RegistryError(
            f"{request.model} keeps weights in other files ({', '.join(header.weights_outside[:3])}, …);"
            " an artifact is one file",
            hint="save it with its weights inside: onnx.save(model, FILE, save_as_external_data=False)",
        )
    if request.allow_newer_onnx or (header.ir_version <= MAX_ONNX_IR and header.opset <= MAX_OPSET):
        return header
    raise RegistryError(
        f"{request.model} has ONNX IR {header.ir_version} and opset {header.opset}; the ONNX Runtime of JetPack 6 loads"
        f" IR {MAX_ONNX_IR} and opset {MAX_OPSET} at most",
        hint=f"export with opset_version={MAX_OPSET}, or --allow-newer-onnx if all your devices have newer runtimes",
    )


def _check_golden(request: PushRequest, header: OnnxHeader) -> None:
    """Check the golden file against the model, with its stages if it has any."""
    names, file = read_golden_names(request.golden), request.golden
    if not request.stages:
        if names.lengths:
            raise IntegrityError(
                f"{file} has length.{names.lengths[0]}, which goes with stages",
                hint="push it with --stages FILE",
            )
        check_against(names, header.inputs, header.outputs, file=file)
        return
    inputs, outputs = (_told(request, header, each) for each in (header.inputs, header.outputs))
    plan = fit_stages(request.stages, inputs, outputs, f"{request.name} {request.version}")
    check_against(names, plan.inputs, plan.outputs, file=file)
    check_forms(read_golden_forms(file), plan, file=file)


def _told(request: PushRequest, header: OnnxHeader, names: tuple[str, ...]) -> dict[str, Form]:
    if untold := [name for name in names if name not in header.forms]:
        raise IntegrityError(
            f"{request.model} does not say what shape {untold[0]!r} has, so no stage can be checked against it",
            hint="export it with shapes: onnx.shape_inference.infer_shapes(model)",
        )
    return {name: header.forms[name] for name in names}


def _versions_before(store: PackStore, request: PushRequest, *, below: int | None) -> _Before:
    earlier: list[Earlier] = []
    for version in versions_of(store, request.name):
        read = unchecked_manifest(store, request.name, version) if version != request.version else None
        if read is not None and (below is None or read[1].counter < below):
            earlier.append(Earlier(version, read[0], read[1]))
    earlier.sort(key=lambda each: each.manifest.counter, reverse=True)
    refs = distinct_chunks(store.get_index(earlier[0].manifest.index)) if earlier else ()
    counter = earlier[0].manifest.counter + 1 if earlier else 1
    return _Before(counter, tuple(earlier), frozenset(ref.digest for ref in refs))


def _manifest(request: PushRequest, header: OnnxHeader, index: Index, counter: int) -> Manifest:
    digest, data = encode_index(index)
    return Manifest(
        kind="model",
        name=request.name,
        version=request.version,
        counter=counter,
        floor=request.floor,
        index=digest,
        index_bytes=len(data),
        total_bytes=index.total_bytes,
        chunks=len(distinct_chunks(index)),
        model_file=MODEL_FILE,
        requires=msgspec.structs.replace(
            request.requires, onnx_ir=header.ir_version, opset=header.opset, disk_bytes=index.total_bytes
        ),
        golden=Golden(
            file=GOLDEN_FILE,
            absolute_tolerance=request.absolute_tolerance,
            relative_tolerance=request.relative_tolerance,
            min_accuracy=request.min_accuracy,
        ),
        lineage=request.lineage,
        stages=request.stages,
    )


def _check_same(existing: Manifest, wanted: Manifest, request: PushRequest) -> None:
    # Counter and patches were given once; lineage is for people and may be told better the second time.
    kept = {"counter": existing.counter, "lineage": existing.lineage, "patches": existing.patches}
    same = msgspec.structs.replace(wanted, format=existing.format, **kept)
    if same != existing:
        what = "other files" if same.index != existing.index else "other requirements or checks"
        raise RegistryError(
            f"{request.name}@{request.version} is in the registry already, with {what}",
            hint="a version never changes; push this one with a new --version",
        )
