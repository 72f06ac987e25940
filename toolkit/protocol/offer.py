"""Whether a device takes what it is offered: seal, identity, floor, needs, space, and the index. Pure.

`edge_runtime.install` brings manifest and index and turns the answer into ACCEPT or REFUSE for `install.step`. Nothing
is fetched before `judge` is content, and nothing is written before `read_index` is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toolkit.errors import IntegrityError, SignatureError, UnsafePathError
from toolkit.protocol.installation import Offer
from toolkit.protocol.stage_kinds import KINDS
from toolkit.protocol.stages import known_keys, read_stages, unknown_stages
from toolkit.wire.device_settings import SETTINGS_FILE, SETTINGS_NAME
from toolkit.wire.digest import digest_of
from toolkit.wire.index import MAX_INDEX_BYTES, Index, decode_index, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import DOTTED, Manifest, Range, Requires, decode_manifest
from toolkit.wire.signature import unseal
from toolkit.wire.stages import Stages

SPARE_BYTES: Final = 16 * 1024 * 1024
"""Left free on the disk for the database, logs and whoever else lives there."""


@dataclass(frozen=True)
class Refused:
    """Why not: a stable word, and a line for people with the cure."""

    code: str
    reason: str
    short_bytes: int = 0
    """For no-space: what is lacking."""


@dataclass(frozen=True)
class Ability:
    """What the device can do at the moment."""

    architecture: str
    onnx_ir: int
    """Newest ONNX IR version that its engine loads; 0 when it has none."""
    free_memory_bytes: int
    free_disk_bytes: int
    """What artifacts may still take: free space of the disk, or what is left of the budget if that is less."""
    l4t: str = ""
    """Linux for Tegra, such as 36.4.3; empty when it is no Jetson."""
    tensorrt: str = ""
    compute_capability: str = ""
    """Of its GPU, such as 8.7; empty when it has none."""
    stages: frozenset[str] = frozenset()
    """Stages that it can do, such as resize@1."""


def read_manifest(sealed: bytes, keyring: Keyring, model: str, offer: Offer) -> Manifest | Refused:
    """Open a sealed manifest and check that it is the one that the offer names."""
    what = f"manifest of {model} {offer.version}"
    try:
        payload = unseal(sealed, "manifest", keyring, what=what)
        if digest_of(payload) != offer.artifact:
            return Refused(
                "manifest-mismatch", f"{what} is not the one that the rollout names; push and roll out again"
            )
        _, manifest = decode_manifest(payload)
    except SignatureError as error:
        return Refused("bad-seal", _line(error))
    except IntegrityError as error:
        return Refused("bad-manifest", _line(error))
    if (manifest.name, manifest.version) != (model, offer.version):
        return Refused("wrong-model", f"{what} speaks of {manifest.name} {manifest.version}")
    return manifest


def judge(manifest: Manifest, ability: Ability, *, floor: int, held_bytes: int) -> Refused | None:
    """Check a manifest against the device.

    Args:
        manifest: whose seal has been opened.
        ability: what the device can do now.
        floor: lowest counter that may be installed.
        held_bytes: bytes that the artifact takes on the disk already.
    """
    what = f"{manifest.name} {manifest.version}"
    kind = "config" if manifest.name == SETTINGS_NAME else "model"
    if manifest.kind != kind:
        why = f"{what} is of kind {manifest.kind}; under this name devices install only the kind {kind}"
        return Refused("wrong-kind", why)
    if manifest.counter < floor:
        why = f"{what} has counter {manifest.counter}, and this device goes no lower than {floor}"
        return Refused("below-floor", why)
    if not 0 < manifest.index_bytes <= MAX_INDEX_BYTES:
        return Refused("bad-manifest", f"{what} claims an index of {manifest.index_bytes} bytes")
    return (
        _wrong_machine(what, manifest.requires, ability)
        or _wrong_stages(what, manifest.stages, ability)
        or _too_small(what, manifest, ability, held_bytes)
    )


def _wrong_machine(what: str, requires: Requires, ability: Ability) -> Refused | None:
    """Compare with what the device is; no time cures that."""
    if requires.architectures and ability.architecture not in requires.architectures:
        wanted = ", ".join(requires.architectures)
        return Refused("wrong-architecture", f"{what} is for {wanted}; this device is {ability.architecture}")
    for name, code, versions, version in (
        ("Linux for Tegra (JetPack)", "wrong-l4t", requires.l4t, ability.l4t),
        ("TensorRT", "wrong-tensorrt", requires.tensorrt, ability.tensorrt),
    ):
        if not lies_within(version, versions):
            why = f"{what} needs {name} {_in_words(versions)}; this device has {version or 'none'}"
            return Refused(code, f"{why}; update it, or roll out to other devices")
    if requires.compute_capabilities and ability.compute_capability not in requires.compute_capabilities:
        wanted = ", ".join(requires.compute_capabilities)
        found = ability.compute_capability or "no GPU that is known"
        why = f"{what} is for compute capability {wanted}; this device has {found}"
        return Refused("wrong-gpu", f"{why}; roll out to other devices")
    if requires.onnx_ir > ability.onnx_ir:
        why = f"{what} has ONNX IR {requires.onnx_ir}; the engine here reads up to {ability.onnx_ir}"
        return Refused("onnx-too-new", f"{why}; export it with an older IR or update the engine")
    return None


def _wrong_stages(what: str, stages: Stages, ability: Ability) -> Refused | None:
    """Compare with what the device can do around a model; whether that fits the model shows at the golden check."""
    if lacking := unknown_stages(stages, ability.stages):
        kind = KINDS.get(lacking[0].partition("@")[0])
        extra = kind.EXTRA if kind is not None and lacking[0] in known_keys() else ""
        cure = f"install tiers[{extra}]" if extra else "update tiers-edge"
        why = f"{what} needs the stage {', '.join(lacking)}, which this device does not have"
        return Refused("unknown-stage", f"{why}; {cure} there, or roll out to other devices")
    try:
        read_stages(stages, what)
    except IntegrityError as error:
        return Refused("bad-manifest", _line(error))
    return None


def _too_small(what: str, manifest: Manifest, ability: Ability, held_bytes: int) -> Refused | None:
    """Compare with what is free now."""
    requires = manifest.requires
    if requires.memory_bytes > ability.free_memory_bytes:
        why = f"{what} needs {requires.memory_bytes} bytes of memory, {ability.free_memory_bytes} are free"
        return Refused("no-memory", why)
    # The part file and the unpacked version exist side by side until every byte has been checked.
    needed = max(requires.disk_bytes, manifest.total_bytes) + manifest.total_bytes - held_bytes
    short = needed + manifest.index_bytes + SPARE_BYTES - ability.free_disk_bytes
    if short > 0:
        why = f"{what} needs {needed} bytes of disk and {SPARE_BYTES} to spare"
        return Refused("no-space", f"{why}; {ability.free_disk_bytes} are free for artifacts", short)
    return None


def lies_within(version: str, wanted: Range) -> bool:
    """Tell whether a version lies in a range, number by number; none at all lies only in the range without ends."""
    if wanted == Range():
        return True
    start = DOTTED.match(version)  # a package may append a word: 10.3.0.post1, 36.4.3-2025
    if start is None:
        return False
    numbers = _numbers(start[0])
    if wanted.at_least and numbers < _numbers(wanted.at_least):
        return False
    return not wanted.below or numbers < _numbers(wanted.below)


def _numbers(dotted: str) -> tuple[int, ...]:
    """Split at the points; zeros at the end say nothing (36.4.0 is 36.4)."""
    numbers = [int(each) for each in dotted.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _in_words(wanted: Range) -> str:
    ends = (wanted.at_least and f"{wanted.at_least} or later", wanted.below and f"below {wanted.below}")
    return " and ".join(each for each in ends if each)


def read_index(data: bytes, manifest: Manifest) -> Index | Refused:
    """Read the index that a manifest names and check that the two agree."""
    what = f"index of {manifest.name} {manifest.version}"
    try:
        index = decode_index(data, manifest.index)
    except UnsafePathError as error:
        return Refused("unsafe-path", f"{what}: {_line(error)}")
    except IntegrityError as error:
        return Refused("bad-index", f"{what}: {_line(error)}")
    if index.total_bytes != manifest.total_bytes or len(distinct_chunks(index)) != manifest.chunks:
        return Refused("bad-index", f"{what} has other sizes than its manifest says")
    if any(entry.kind == "link" for entry in index.entries):
        return Refused("unsafe-path", f"{what} holds a link; artifacts have files and folders only")
    files = {entry.path for entry in index.entries if entry.kind == "file"}
    golden = [manifest.golden.file] if manifest.golden else []
    main = SETTINGS_FILE if manifest.kind == "config" else manifest.model_file
    for named in (main, *golden):
        if named.encode() not in files:
            return Refused("bad-index", f"{what} lacks the file {named!r} that its manifest names")
    return index


def _line(error: IntegrityError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
