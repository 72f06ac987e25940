"""The documents of a Remote: indexes, sealed manifests, Refs. The same in every layout.

    indexes/DIGEST      an index, named by its bytes
    manifests/ARTIFACT  a sealed manifest, named by its payload
    refs/NAME           a Ref, written last

`packs.PackStore` adds chunks to them; `layouts.mirror` keeps them in its sidecar.
"""

from __future__ import annotations

import time

import msgspec

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.ref import Ref, decode_ref, encode_ref
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.index import MAX_INDEX_BYTES, Index, decode_index, encode_index
from toolkit.wire.signature import Sealed


class Documents:
    """Indexes, manifests and Refs of one Remote. Usable by several threads."""

    def __init__(self, remote: Remote) -> None:
        """Stand on a Remote."""
        self.remote = remote

    def put_index(self, index: Index) -> Digest:
        """Store an index, whose chunks must be stored already, and give its digest.

        Raises:
            IntegrityError: it is larger than any reader takes.
        """
        digest, data = encode_index(index)
        if len(data) > MAX_INDEX_BYTES:
            raise IntegrityError(
                f"an index of {len(data)} bytes is too large; at most {MAX_INDEX_BYTES} are read",
                hint="split the path into several routes, or cut its files in larger pieces (grid: archive)",
            )
        self.remote.write_new(f"indexes/{digest}", data)
        return digest

    def get_index(self, digest: Digest) -> Index:
        """Read an index and prove that it is whole and safe.

        Raises:
            MissingObjectError: it is not here.
            IntegrityError: it was damaged.
        """
        return decode_index(self.get_index_bytes(digest), digest)

    def get_index_bytes(self, digest: Digest) -> bytes:
        """Read an index's bytes, unchecked; for who passes them on to a reader that checks."""
        return self.remote.read(f"indexes/{digest}", limit=MAX_INDEX_BYTES)

    def put_sealed(self, artifact: Digest, sealed: bytes) -> None:
        """Store a sealed manifest under the id of its artifact; one with more signatures takes the place of an old one.

        Raises:
            IntegrityError: it is not the manifest of that artifact.
        """
        self.remote.write(f"manifests/{artifact}", _checked(artifact, sealed))

    def get_sealed(self, artifact: Digest) -> bytes:
        """Read a sealed manifest. Its payload belongs to the artifact; whether its seal holds is for the reader to say.

        Raises:
            MissingObjectError: it is not here.
            IntegrityError: it was damaged.
        """
        return _checked(artifact, self.remote.read(f"manifests/{artifact}", limit=2 * MAX_DOCUMENT_BYTES))

    def read_ref(self, name: str) -> Ref | None:
        """Read a Ref, or None when there is none of this name (`models/us-segmentation/1.4.0`).

        Raises:
            IntegrityError: it was damaged.
        """
        try:
            data = self.remote.read(f"refs/{name}", limit=MAX_DOCUMENT_BYTES)
        except MissingObjectError:
            return None
        return decode_ref(data, what=f"Ref {name} in {self.remote.url}")

    def write_ref(self, name: str, ref: Ref) -> None:
        """Let a name point somewhere, in one step. Everything below it must be stored already."""
        self.remote.write(f"refs/{name}", encode_ref(_dated(ref)))

    def write_new_ref(self, name: str, ref: Ref) -> bool:
        """Let a new name point somewhere; say whether it was new. A name that is there keeps what it points to."""
        return self.remote.write_new(f"refs/{name}", encode_ref(_dated(ref)))

    def list_refs(self, prefix: str = "") -> tuple[str, ...]:
        """List the names below a prefix (`models/`; empty for all), in order."""
        return tuple(found.key.removeprefix("refs/") for found in self.remote.list(f"refs/{prefix}"))

    def delete_ref(self, name: str) -> bool:
        """Forget a name; say whether it was there. What it pointed to stays until it is collected."""
        return self.remote.delete(f"refs/{name}")


def _dated(ref: Ref) -> Ref:
    return ref if ref.written_ms else msgspec.structs.replace(ref, written_ms=time.time_ns() // 1_000_000)


def _checked(artifact: Digest, sealed: bytes) -> bytes:
    document = decode_json(sealed, Sealed, what=f"manifest {artifact[:12]}", limit=2 * MAX_DOCUMENT_BYTES)
    if document.type != "manifest" or digest_of(document.payload) != artifact:
        raise IntegrityError(f"manifest {artifact[:12]} does not hold what it is named after")
    return sealed
