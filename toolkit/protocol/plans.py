"""Whether a device takes a plan that another one has built, by what its sealed manifest says. Pure.

`edge_runtime.plan_fetch` brings manifest and index while STAGED. A plan is executable code, so the seal comes first:
the registry's, which countersigns only what a trusted builder has sealed. It must be made of exactly this artifact's
files, for exactly this device's facts, and fit the disk. The golden check comes after that; in doubt the device builds.
"""

from __future__ import annotations

from toolkit.errors import IntegrityError
from toolkit.protocol.offer import SPARE_BYTES, Refused
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import MAX_INDEX_BYTES, Index, decode_index, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest, decode_manifest
from toolkit.wire.plan import MOST_PLAN_BYTES, PLAN_FILE, PlanFor
from toolkit.wire.signature import unseal


def read_plan_manifest(
    sealed: bytes, keyring: Keyring, model: Manifest, made_for: PlanFor
) -> tuple[Digest, Manifest] | Refused:
    """Open the manifest of a plan and check that it is for this model on this machine.

    Args:
        sealed: as it came.
        keyring: whom the device trusts.
        model: manifest of the model, whose seal was opened when it was offered.
        made_for: artifact, files and machine that the plan must name.

    Returns:
        The plan's artifact id and its manifest.
    """
    what = f"manifest of a plan of {model.name} {model.version}"
    try:
        payload = unseal(sealed, "manifest", keyring, what=what)
        _, manifest = decode_manifest(payload)
    except IntegrityError as error:
        return Refused("bad-manifest", f"{what}: {error.message}")
    said = manifest.plan
    if said is None or (manifest.name, manifest.version) != (model.name, model.version):
        return Refused("wrong-plan", f"{what} speaks of {manifest.kind} {manifest.name} {manifest.version}")
    if said.artifact != made_for.artifact or said.model != made_for.model:
        return Refused("wrong-plan", f"{what} is made of other files")
    if said.machine != made_for.machine:
        return Refused("wrong-plan", f"{what} is for other machines: {said.machine}")
    if not 0 < manifest.index_bytes <= MAX_INDEX_BYTES or not manifest.chunks > 0:
        return Refused("bad-manifest", f"{what} claims {manifest.chunks} chunks")
    if not 0 < manifest.total_bytes <= MOST_PLAN_BYTES:
        return Refused("bad-manifest", f"{what} claims {manifest.total_bytes} bytes")
    return digest_of(payload), manifest


def judge_plan_space(manifest: Manifest, *, free_bytes: int, held_bytes: int) -> Refused | None:
    """Check that the disk has room for a plan's chunks and, beside them, for the plan.

    Args:
        manifest: of the plan.
        free_bytes: what artifacts may still take.
        held_bytes: what of its chunks takes room already.
    """
    needed = 2 * manifest.total_bytes + manifest.index_bytes - held_bytes
    if needed + SPARE_BYTES > free_bytes:
        return Refused("no-space", f"a plan needs {needed} bytes of disk and {SPARE_BYTES} to spare")
    return None


def read_plan_index(data: bytes, manifest: Manifest) -> Index | Refused:
    """Read the index of a plan: one file under the one name, of the size that the manifest says."""
    what = f"index of a plan of {manifest.name} {manifest.version}"
    try:
        index = decode_index(data, manifest.index)
    except IntegrityError as error:
        return Refused("bad-index", f"{what}: {error.message}")
    if [(entry.path, entry.kind) for entry in index.entries] != [(PLAN_FILE.encode(), "file")]:
        return Refused("bad-index", f"{what} does not hold the one file {PLAN_FILE!r}")
    if index.total_bytes != manifest.total_bytes or len(distinct_chunks(index)) != manifest.chunks:
        return Refused("bad-index", f"{what} has other sizes than its manifest says")
    return index
