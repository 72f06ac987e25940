"""The artifacts that lie on this device, and the disk's part of SEEDING, VERIFYING and CLEAN.

Functions that read or write more than a few kilobytes say that they are for the disk thread. Manifests were checked
when they came (`protocol.offer`); here their bytes only have to be those of the artifact's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge_runtime.assemble import assemble, is_whole
from edge_runtime.drill import NO_DRILL, Drill
from edge_runtime.folders import Folders, remove
from edge_runtime.part import Part
from edge_runtime.seed import Find, Source, find, take
from edge_runtime.store import Store
from toolkit.errors import IntegrityError
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.installation import Needs
from toolkit.protocol.patching import choose_patch
from toolkit.sync.whole import sync_folder, write_whole
from toolkit.wire.digest import digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.index import Index, decode_index, distinct_chunks
from toolkit.wire.manifest import Manifest, Patch, decode_manifest
from toolkit.wire.signature import Sealed

SEEDED_AT_ONCE = 64
"""Chunks that one job of the disk thread takes over, so that other models' jobs get their turn."""


class Shelf:
    """Artifacts in a state folder."""

    def __init__(self, store: Store, folders: Folders, drill: Drill = NO_DRILL) -> None:
        """Work on this state folder."""
        self._store = store
        self._folders = folders
        self._drill = drill

    # ------------------------------------------------------------ what is known
    def manifest(self, artifact: str) -> Manifest:
        """Give the manifest of an artifact that was accepted here.

        Raises:
            IntegrityError: it is not here, or was changed.
        """
        data = self._store.sealed_manifest(artifact)
        if data is None:
            raise IntegrityError(f"the manifest of {artifact[:12]} is not on this device")
        sealed = decode_json(data, Sealed, what=f"manifest of {artifact[:12]}", limit=2 * MAX_DOCUMENT_BYTES)
        if digest_of(sealed.payload) != artifact:
            raise IntegrityError(f"the manifest of {artifact[:12]} was changed on this device")
        return decode_manifest(sealed.payload)[1]

    def is_installed(self, artifact: str) -> bool:
        """Tell whether a version's files are here."""
        return self._folders.version(artifact).is_dir()

    def held_bytes(self, artifact: str) -> int:
        """Give what an artifact takes on the disk already."""
        part = self._folders.part(artifact)
        held = part.stat().st_size if part.exists() else 0
        return held + (self.manifest(artifact).total_bytes if self.is_installed(artifact) else 0)

    def index_bytes(self, artifact: str) -> bytes | None:
        """Give the bytes of an index as they lie here, or None. For the disk thread."""
        try:
            return self._folders.index(artifact).read_bytes()
        except FileNotFoundError:
            return None

    def save_index(self, artifact: str, data: bytes) -> None:
        """Keep an index whose bytes have been checked. For the disk thread."""
        with self._drill.write("index"):
            write_whole(self._folders.index(artifact), data)

    def index(self, artifact: str) -> Index:
        """Read an index. For the disk thread.

        Raises:
            IntegrityError: it is not here, or was changed.
        """
        data = self.index_bytes(artifact)
        if data is None:
            raise IntegrityError(f"the index of {artifact[:12]} is not on this device")
        return decode_index(data, self.manifest(artifact).index)

    # ------------------------------------------------------------ SEEDING, on the disk thread
    def plan_seeding(self, artifact: str) -> list[Find]:
        """Say which missing chunks lie in versions that are here."""
        chunks = distinct_chunks(self.index(artifact))
        have = self._store.bitmap(artifact, len(chunks))
        installed = [each for each in self._store.artifacts() if self.is_installed(each)]
        sources = [Source(self.index(each), self._folders.version(each)) for each in installed]
        return find(have.missing(), chunks, sources)

    def seed(self, artifact: str, finds: list[Find]) -> None:
        """Take some chunks over: data, fdatasync, bitmap.

        Raises:
            OSError: the part file cannot be written.
        """
        chunks = distinct_chunks(self.index(artifact))
        with Part(self._folders.part(artifact), chunks, self._drill) as part:
            taken = take(finds, part)
        self._store.save_bitmap(artifact, self._store.bitmap(artifact, len(chunks)).with_set(taken))
        tally = self._store.tally(artifact)
        self._store.save_tally(artifact, replace(tally, seeded=tally.seeded + len(taken)))

    def choose_patch(self, artifact: str) -> Patch | None:
        """Say which patch would bring what is still missing with the fewest bytes, if any does.

        Raises:
            IntegrityError: manifest or index is not here, or was changed.
        """
        target = self.manifest(artifact)
        if not target.patches:
            return None
        chunks = distinct_chunks(self.index(artifact))
        missing = self._store.bitmap(artifact, len(chunks)).missing()
        lacking = sum(chunks[number].size for number in missing)
        return choose_patch(
            target, lacking_bytes=lacking, is_installed=self.is_installed, held_bytes=self._held_of_patch
        )

    def drop_helper(self, helper: str) -> None:
        """Delete what came of a patch or a plan, to make room; it has been used, or cannot be."""
        # In this order: a bitmap must never speak of a file that is gone.
        self._store.forget(helper)
        self._delete(self._folders.part(helper))
        self._delete(self._folders.index(helper))

    def _held_of_patch(self, patch: str) -> int:
        if self._store.sealed_manifest(patch) is None or self.index_bytes(patch) is None:
            return 0
        chunks = distinct_chunks(self.index(patch))
        have = self._store.bitmap(patch, len(chunks))
        return sum(chunk.size for chunk in chunks) - sum(chunks[number].size for number in have.missing())

    # ------------------------------------------------------------ VERIFYING, on the disk thread
    def assemble(self, artifact: str) -> int:
        """Make the version's folder and check every byte of it.

        Returns:
            The number of stored chunks that were damaged; they are crossed out in the bitmap, and no folder was made.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        index, folder = self.index(artifact), self._folders.version(artifact)
        chunks = distinct_chunks(index)
        if folder.is_dir():
            if is_whole(index, folder):
                return 0
            remove(folder)
            sync_folder(folder.parent)
        if not self._folders.part(artifact).exists():
            self._store.save_bitmap(artifact, Bitmap.empty(len(chunks)))
            return max(len(chunks), 1)
        have = self._store.bitmap(artifact, len(chunks))
        lost = list(have.missing())
        if not lost:
            with Part(self._folders.part(artifact), chunks, self._drill) as part:
                lost = assemble(index, part, folder, self._drill)
        if lost:
            self._store.save_bitmap(artifact, have.without(lost))
            tally = self._store.tally(artifact)
            self._store.save_tally(artifact, replace(tally, bad=tally.bad + len(lost)))
        return len(lost)

    # ------------------------------------------------------------ CLEAN, on the disk thread
    def clean(self, needed: Callable[[], Iterable[Needs]]) -> None:
        """Delete all artifacts that no installation needs.

        What is here is listed before `needed` is asked: an artifact that an offer brings meanwhile is not in the list.
        """
        known = self._folders.stored() | set(self._store.artifacts())
        needs = list(needed())
        versions = {artifact for each in needs for artifact in each.versions}
        parts = {artifact for each in needs for artifact in each.parts}
        parts |= {patch for artifact in parts for patch in self._patches_to(artifact)}
        parts |= {artifact for artifact in known if self._plan_of(artifact) in versions}
        for artifact in known:
            if artifact not in parts and self._folders.part(artifact).exists():
                # In this order: a bitmap must never speak of a file that is gone.
                self._store.save_bitmap(artifact, Bitmap.empty(0))
                self._delete(self._folders.part(artifact))
            if artifact not in versions:
                self._delete(self._folders.version(artifact))
                remove(self._folders.version(f"{artifact}.tmp"))
            if artifact not in parts | versions:
                self._delete(self._folders.index(artifact))
                self._store.forget(artifact)

    def _patches_to(self, artifact: str) -> set[str]:
        """Give the patches that may be on their way while an artifact is fetched."""
        with suppress(IntegrityError):  # not accepted yet
            return {patch.artifact for patch in self.manifest(artifact).patches}
        return set()

    def _plan_of(self, artifact: str) -> str:
        """Give the model that a plan on its way is made of; nothing when it is no plan."""
        with suppress(IntegrityError):
            plan = self.manifest(artifact).plan
            return plan.artifact if plan is not None else ""
        return ""

    def _delete(self, path: Path) -> None:
        if path.exists():
            with self._drill.write("delete"):
                remove(path)
