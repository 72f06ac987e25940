"""Where else chunks and documents are: other stores of packs, and mirrors, which have them in files. For `repair`.

Nothing is believed: a chunk is hashed before it is handed out, so a copy that has rotted too gives nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Protocol

from toolkit.errors import IntegrityError, MissingObjectError, TiersError, TornReadError
from toolkit.sync.chunk_source import FolderSource, PackSource
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.read import join
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.entry import ChunkRef, Entry
from toolkit.wire.index import Index


class Copy(Protocol):
    """Another storage that may have what is lost. Usable by several threads after `expect`."""

    @property
    def documents(self) -> Documents:
        """Its indexes, manifests and Refs."""
        ...

    def expect(self, digests: Collection[Digest]) -> None:
        """Say which chunks will be asked for."""
        ...

    def stored(self, ref: ChunkRef) -> bytes:
        """Give a chunk in stored form, proven. Raises MissingObjectError or IntegrityError."""
        ...


class PackCopy:
    """Another store of packs."""

    def __init__(self, store: PackStore) -> None:
        """Look there."""
        self.documents: Documents = store
        self._source = PackSource(store)

    def expect(self, digests: Collection[Digest]) -> None:
        """Nothing to prepare."""

    def stored(self, ref: ChunkRef) -> bytes:
        """Read a chunk; see `Copy.stored`."""
        return self._source.stored(ref)


class MirrorCopy:
    """The files of a mirror, as the routes that wrote it say in its sidecar."""

    def __init__(self, path: str) -> None:
        """Look there.

        Raises:
            RemoteUnavailableError: it is not there, or nothing was ever brought to it.
        """
        self._folder = Folder(path)
        self.documents = Documents(DirectoryRemote(os.fsdecode(join(os.fsencode(path), SIDECAR))))
        self._sources: list[FolderSource] = []
        self._of: dict[Digest, FolderSource] = {}

    def expect(self, digests: Collection[Digest]) -> None:
        """Find out which files the chunks are in."""
        wanted = set(digests)
        for name in self.documents.list_refs("routes/"):
            root, _, last = name.rpartition("/")
            with suppress(IntegrityError, MissingObjectError):
                ref = self.documents.read_ref(name)
                if last != "head" or ref is None:
                    continue
                entries: list[Entry] = []
                for entry in self.documents.entries(ref.digest):
                    here = {each.digest for each in entry.refs()} & wanted
                    if here:
                        entries.append(entry)
                origin = root.partition("/from/")[2]
                way = join(ref.path.encode(), origin.encode())
                source = FolderSource(self._folder, way, Index(entries=tuple(entries)))
                found = {each.digest for entry in entries for each in entry.refs()} & wanted
                source.expect(found)
                self._sources.append(source)
                for digest in found:
                    self._of.setdefault(digest, source)

    def stored(self, ref: ChunkRef) -> bytes:
        """Read a chunk out of its file; see `Copy.stored`."""
        source = self._of.get(ref.digest)
        if source is None:
            raise MissingObjectError(f"{self.documents.remote.url} does not have chunk {ref.digest[:12]}")
        try:
            return source.stored(ref)
        except TornReadError as error:
            raise IntegrityError(error.message) from error


class CopySource:
    """Chunks from whichever copy has them: a `ChunkSource` for a target that mends itself."""

    gives_blocks = False

    def __init__(self, copies: Sequence[Copy]) -> None:
        """Ask these, in their order."""
        self._copies = copies

    def expect(self, digests: Collection[Digest]) -> None:
        """Let each copy look where the chunks are; one that does not answer is left out."""
        for copy in self._copies:
            with suppress(TiersError):
                copy.expect(digests)

    def stored(self, ref: ChunkRef) -> bytes:
        """Give a chunk in stored form.

        Raises:
            TornReadError: no copy has it whole.
        """
        for copy in self._copies:
            with suppress(TiersError):
                return copy.stored(ref)
        raise TornReadError(f"no copy has chunk {ref.digest[:12]} whole")

    def fetch(self, refs: Sequence[ChunkRef], into: memoryview) -> int:
        """Put chunks into a buffer; see `ChunkSource.fetch`."""
        at = moved = 0
        for ref in refs:
            stored = self.stored(ref)
            into[at : at + ref.size] = open_chunk(stored, ref.digest, ref.size)
            at, moved = at + ref.size, moved + len(stored)
        return moved

    def close(self) -> None:
        """Nothing is open that does not close itself."""


def document_of(copies: Sequence[Copy], key: str) -> bytes | None:
    """Give the bytes of an index or a manifest from the first copy that has it whole."""
    kind, _, name = key.partition("/")
    for copy in copies:
        with suppress(TiersError):
            if kind == "manifests":
                return copy.documents.get_sealed(Digest(name))
            data = copy.documents.get_index_bytes(Digest(name))
            if digest_of(data) == name:
                return data
    return None


def refs_of(copies: Sequence[Copy], name: str) -> list[Ref]:
    """Give what a name points to in the copies that have it whole."""
    found: list[Ref] = []
    for copy in copies:
        with suppress(TiersError):
            ref = copy.documents.read_ref(name)
            if ref is not None:
                found.append(ref)
    return found
