"""Whether a device takes a patch instead of chunks that it lacks, and whether it is the patch it was promised. Pure.

`edge_runtime.patching` brings manifest and index while SEEDING. The target's manifest, whose seal was opened when it
was offered, names the patches; a patch's own manifest must be sealed too and must make exactly this target out of
exactly that base. What a patch makes is compared chunk by chunk with the target's index, so none of this is about
trust: it is about not fetching, storing or replaying what cannot help.
"""

from __future__ import annotations

from collections.abc import Callable

from toolkit.errors import IntegrityError
from toolkit.protocol.offer import SPARE_BYTES, Refused
from toolkit.wire.delta import PATCH_FILE
from toolkit.wire.digest import digest_of
from toolkit.wire.index import MAX_INDEX_BYTES, Index, decode_index, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest, Patch, decode_manifest
from toolkit.wire.signature import unseal


def choose_patch(
    target: Manifest,
    *,
    lacking_bytes: int,
    is_installed: Callable[[str], bool],
    held_bytes: Callable[[str], int],
) -> Patch | None:
    """Choose the patch that leaves the least to fetch; None when that is not less than the chunks themselves.

    Args:
        target: what is being installed.
        lacking_bytes: of its chunks that are not here.
        is_installed: whether a version's files are here.
        held_bytes: bytes of a patch's chunks that came before an interruption.
    """
    usable = [patch for patch in target.patches if is_installed(patch.base)]
    costs = {patch.artifact: patch.download_bytes - held_bytes(patch.artifact) for patch in usable}
    best = min(usable, key=lambda patch: costs[patch.artifact], default=None)
    return best if best is not None and costs[best.artifact] < lacking_bytes else None


def read_patch_manifest(
    sealed: bytes, keyring: Keyring, target: Manifest, patch: Patch
) -> Manifest | Refused:
    """Open the manifest of a patch and check that it is the one that its target names, and makes it."""
    what = f"manifest of a patch to {target.name} {target.version}"
    try:
        payload = unseal(sealed, "manifest", keyring, what=what)
        if digest_of(payload) != patch.artifact:
            return Refused("manifest-mismatch", f"{what} is not the one that the target names")
        _, manifest = decode_manifest(payload)
    except IntegrityError as error:
        return Refused("bad-manifest", f"{what}: {error.message}")
    makes = manifest.makes
    if makes is None or (makes.base, makes.index) != (patch.base, target.index):
        return Refused("wrong-patch", f"{what} makes something else")
    if not 0 < manifest.index_bytes <= MAX_INDEX_BYTES or not manifest.chunks > 0:
        return Refused("bad-manifest", f"{what} claims {manifest.chunks} chunks")
    # Chunks that travel raw have one byte more than their content; compressed ones only make the sum smaller.
    if manifest.total_bytes > target.total_bytes:
        return Refused("wrong-patch", f"{what} has {manifest.total_bytes} bytes, more than what it makes")
    return manifest


def judge_patch_space(
    manifest: Manifest, target: Manifest, *, free_bytes: int, held_bytes: int
) -> Refused | None:
    """Check that the disk has room for a patch beside the part file and the files of its target.

    Args:
        manifest: of the patch.
        target: what it makes.
        free_bytes: what artifacts may still take.
        held_bytes: what the target takes already.
    """
    needed = manifest.total_bytes + manifest.index_bytes + 2 * target.total_bytes - held_bytes
    if needed + SPARE_BYTES > free_bytes:
        return Refused("no-space", f"a patch needs {needed} bytes of disk and {SPARE_BYTES} to spare")
    return None


def read_patch_index(data: bytes, manifest: Manifest) -> Index | Refused:
    """Read the index of a patch: one file under the one name, of the size that the manifest says."""
    what = f"index of a patch to {manifest.name} {manifest.version}"
    try:
        index = decode_index(data, manifest.index)
    except IntegrityError as error:
        return Refused("bad-index", f"{what}: {error.message}")
    if [(entry.path, entry.kind) for entry in index.entries] != [(PATCH_FILE.encode(), "file")]:
        return Refused("bad-index", f"{what} does not hold the one file {PATCH_FILE!r}")
    if index.total_bytes != manifest.total_bytes or len(distinct_chunks(index)) != manifest.chunks:
        return Refused("bad-index", f"{what} has other sizes than its manifest says")
    return index
