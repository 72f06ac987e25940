"""Write an artifact out for a static web server or a CDN: the same two files that a depot's HTTP road shows.

    DIR/v1/artifacts/ARTIFACT/index     the bytes of the index
    DIR/v1/artifacts/ARTIFACT/chunks    all distinct chunks, open, one after the other

Called by `tiers model export`. A device asks it for ranges and checks each chunk against the signed manifest, so the
server need not be trusted, and a copy that is old or damaged costs a detour and nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.registry.catalogue import open_model
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.whole import sync_folder, write_whole
from toolkit.wire.index import decode_index, distinct_chunks
from toolkit.wire.keyring import Keyring


@dataclass(frozen=True)
class Exported:
    """What was written."""

    label: str
    artifact: str
    folder: str
    size: int
    """Bytes of both files."""
    repeated: bool = False
    """Both files were there already."""


def export(store: PackStore, name: str, version: str, keyring: Keyring, target: Path) -> Exported:
    """Write a version out; what is there already stays, for its name is made of its content.

    Args:
        store: the registry.
        name: of the model.
        version: of it.
        keyring: whose signature counts.
        target: folder that the server shows; made when it is not there.

    Raises:
        RegistryError: there is no such version.
        SignatureError: nobody we trust has signed it.
        IntegrityError: the registry is damaged; no chunks file is left behind.
        UsageError: the folder cannot be written.
    """
    artifact = open_model(store, name, version, keyring)
    index = store.get_index_bytes(artifact.manifest.index)
    refs = distinct_chunks(decode_index(index, artifact.manifest.index))
    folder = target / "v1" / "artifacts" / artifact.id
    size = sum(ref.size for ref in refs)
    chunks, whole = folder / "chunks", len(index) + size
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if chunks.is_file() and chunks.stat().st_size == size and (folder / "index").is_file():
            return Exported(artifact.label, artifact.id, str(folder), whole, repeated=True)
        draft = folder / f".chunks.{os.getpid()}"
        try:
            with draft.open("wb") as file:
                for ref in refs:
                    file.write(store.read_chunk(ref.digest))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(chunks)
        finally:
            draft.unlink(missing_ok=True)
        write_whole(folder / "index", index)
        sync_folder(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror or error}", hint="name a folder with room in it"
        ) from error
    return Exported(artifact.label, artifact.id, str(folder), whole)
