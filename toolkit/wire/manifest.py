"""A manifest says what an artifact is: its index, what it needs, how to check it, where it comes from.

`registry.push` writes one, `signature` seals it, a rollout names it by digest, and the device decides by it before the
first chunk is asked for. The artifact's id is the digest of the manifest's bytes.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, digest_of, parse_digest
from toolkit.wire.document import Document, Sparse, decode_json, encode_json
from toolkit.wire.paths import check_path
from toolkit.wire.plan import PlanFor, check_plan_for
from toolkit.wire.stages import NO_STAGES, Stages, check_stages

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.+_-]{0,62}[0-9A-Za-z])?")


DOTTED = re.compile(r"[0-9]{1,9}(?:[.][0-9]{1,9}){0,7}")
"""A version of dotted numbers, such as 36.4.3."""


LONGEST_SECONDS: Final = 3600.0


class Range(Sparse, frozen=True, kw_only=True):
    """Versions of dotted numbers, compared number by number: 36.4.3 is above 36.4 and below 36.10. "" means no end."""

    at_least: str = ""
    below: str = ""


class Requires(Sparse, frozen=True, kw_only=True):
    """What a device must have; the device itself refuses what it cannot run."""

    architectures: tuple[str, ...] = ()
    """Machine names as uname gives them (x86_64, aarch64); empty means any."""
    onnx_ir: int = 0
    """ONNX IR version of the model; 0 when it is not ONNX."""
    opset: int = 0
    """Highest ONNX opset of the default domain that the model imports."""
    memory_bytes: int = 0
    """Free memory that loading needs."""
    disk_bytes: int = 0
    """Disk that the unpacked artifact needs."""
    l4t: Range = Range()
    """Linux for Tegra, which is what a JetPack is: JetPack 6.2 is 36.4.3. A device that is no Jetson has none."""
    tensorrt: Range = Range()
    compute_capabilities: tuple[str, ...] = ()
    """Of the GPU, such as 8.7; empty means any, or none."""
    p95_seconds: float = 0.0
    """Time in which a device answers 95 of 100 golden examples, one at a time, stages included; 0 is no such time."""


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a device proves that the model computes what it computed at home.

    `file` is a NumPy .npz in the artifact with arrays `input.NAME`, `output.NAME` and, if top-1 accuracy is checked,
    `labels`; the first axis of each is the example.
    """

    file: str
    absolute_tolerance: float = 1e-3
    relative_tolerance: float = 1e-3
    min_accuracy: float = 0.0
    """Share of `labels` that the first output's arg-max must hit, 0 to 1; 0 leaves it unchecked."""


class Patch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shorter way from a version that the device may have: an artifact of kind patch, and what it makes."""

    base: Digest
    """Artifact that the device must have whole."""
    artifact: Digest
    """Artifact of kind patch."""
    download_bytes: int
    """Bytes of the patch's stored chunks and index; a device takes it only if it lacks more than that otherwise."""


class Makes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an artifact of kind patch makes, and out of what. The target names its patches, so here its index does."""

    base: Digest
    """Artifact whose files the patch looks at."""
    index: Digest
    """Digest of the target's index."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an artifact comes from; for people and audits, never for decisions of the device."""

    parent: str = ""
    """NAME@VERSION or digest of what it was made from."""
    made_by: str = ""
    """The command that made it."""
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    """Measured figures, for example {"accuracy": 0.985}."""


class Manifest(Document, frozen=True, kw_only=True, omit_defaults=True):
    """An artifact's description; signed, retained, at most 64 KiB."""

    FORMAT: ClassVar[int] = 3
    READS: ClassVar[tuple[int, ...]] = (1, 2, 3)
    kind: Literal["model", "plan", "patch", "config"]
    name: str
    version: str
    counter: int
    """Grows with each version of a name; a device refuses to go below its floor."""
    floor: int = 0
    """Lowest counter that a device may still run after it has seen this manifest (0: no floor)."""
    index: Digest
    """Digest of the index's bytes."""
    index_bytes: int
    """Size of the index, checked before it is fetched."""
    total_bytes: int
    chunks: int
    """Number of distinct chunks."""
    model_file: str = ""
    """Path of the ONNX file in the artifact (kind model)."""
    requires: Requires = Requires()
    golden: Golden | None = None
    lineage: Lineage = Lineage()
    patches: tuple[Patch, ...] = ()
    """Shorter ways to this artifact; a device that can use none of them fetches its chunks."""
    makes: Makes | None = None
    """Of kind patch: what it makes."""
    stages: Stages = NO_STAGES
    """What is done before and after the engine (kind model); golden inputs go in before them."""
    plan: PlanFor | None = None
    """Of kind plan: which model and which machines it is for."""

    def needed_format(self) -> int:
        """Give 3 with stages, a time to keep or of a plan, 2 with patches or requirements that came with 2; else 1."""
        requires = self.requires
        if self.stages or requires.p95_seconds or self.plan:
            return 3
        newer = (self.patches, self.makes, requires.compute_capabilities)
        ranges = (requires.l4t, requires.tensorrt)
        return 2 if any(newer) or any(each != Range() for each in ranges) else 1


def encode_manifest(manifest: Manifest) -> tuple[Digest, bytes]:
    """Give a manifest's bytes and the artifact id."""
    data = encode_json(manifest)
    return digest_of(data), data


def decode_manifest(data: bytes) -> tuple[Digest, Manifest]:
    """Read a manifest whose signature has been checked, and check its fields.

    Raises:
        IntegrityError: it is damaged, of a newer format, or contradicts itself.
        UnsafePathError: a file it names would leave the artifact.
    """
    manifest = decode_json(data, Manifest, what="manifest")
    what = f"manifest of {manifest.name[:70]!r}"
    if not NAME.fullmatch(manifest.name) or not VERSION.fullmatch(manifest.version):
        raise IntegrityError(
            f"{what}: name or version {manifest.version[:70]!r} has characters that are not allowed"
        )
    parse_digest(manifest.index, what=f"{what}: index")
    if min(manifest.counter, manifest.floor, manifest.index_bytes, manifest.total_bytes, manifest.chunks) < 0:
        raise IntegrityError(f"{what} has a negative number")
    if manifest.kind == "model" and not manifest.model_file:
        raise IntegrityError(f"{what} is of kind model and names no model_file")
    _check_requires(manifest.requires, what)
    if manifest.stages and manifest.kind != "model":
        raise IntegrityError(f"{what} is of kind {manifest.kind} and has stages, which only models have")
    check_stages(manifest.stages, what)
    _check_patches(manifest, what)
    _check_plan(manifest, what)
    for file in (manifest.model_file, manifest.golden.file if manifest.golden else ""):
        if file:
            check_path(file.encode())
    return digest_of(data), manifest


def _check_requires(requires: Requires, what: str) -> None:
    for wanted in (requires.l4t, requires.tensorrt):
        for end in (wanted.at_least, wanted.below):
            if end and not DOTTED.fullmatch(end):
                raise IntegrityError(f"{what} requires {end[:70]!r}, which is no version such as 36.4.3")
    if not 0 <= requires.p95_seconds <= LONGEST_SECONDS:
        raise IntegrityError(f"{what} requires a time of {requires.p95_seconds} s")


def _check_plan(manifest: Manifest, what: str) -> None:
    if manifest.plan is not None:
        if manifest.kind != "plan":
            raise IntegrityError(f"{what} is of kind {manifest.kind} and says what plan it is")
        check_plan_for(manifest.plan, what)
    elif manifest.kind == "plan":
        raise IntegrityError(f"{what} is of kind plan and does not say for which model and machines")


def _check_patches(manifest: Manifest, what: str) -> None:
    if (manifest.kind == "patch") != (manifest.makes is not None):
        raise IntegrityError(f"{what} is of kind {manifest.kind}, which does not fit what it says of a patch")
    if manifest.makes is not None:
        parse_digest(manifest.makes.base, what=f"{what}: base")
        parse_digest(manifest.makes.index, what=f"{what}: index that it makes")
    for patch in manifest.patches:
        parse_digest(patch.base, what=f"{what}: base of a patch")
        parse_digest(patch.artifact, what=f"{what}: patch")
        if patch.download_bytes < 0:
            raise IntegrityError(f"{what} has a patch with a negative number")
