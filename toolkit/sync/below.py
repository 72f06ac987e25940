"""What lies below a Ref: its manifest, the manifests of its patches, their indexes, and the chunks of all of them.

`promise` looks before a Ref is written, `gc` counts what is used, `verify` what is missing. Nothing is believed that
does not have the digest it is named after; whose seal a manifest carries is for its readers to ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref
from toolkit.wire.digest import Digest
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json

if TYPE_CHECKING:
    from toolkit.wire.manifest import Manifest


def indexes_below(documents: Documents, ref: Ref) -> Iterator[tuple[str, Digest]]:
    """Yield the indexes below a Ref, each with the key of the manifest that names it (empty when the Ref itself does).

    Raises:
        MissingObjectError: a manifest is not here.
        IntegrityError: a manifest was damaged.
    """
    if ref.kind == "index":
        yield "", ref.digest
        return
    manifest = manifest_of(documents, ref.digest)
    yield f"manifests/{ref.digest}", manifest.index
    for patch in manifest.patches:
        yield f"manifests/{patch.artifact}", manifest_of(documents, patch.artifact).index


def keys_below(documents: Documents, ref: Ref) -> Iterator[str]:
    """Yield the keys of all documents below a Ref. Errors as in `indexes_below`."""
    for manifest, index in indexes_below(documents, ref):
        if manifest:
            yield manifest
        yield from documents.index_keys(index)


def chunks_below(documents: Documents, ref: Ref) -> Iterator[Digest]:
    """Yield the chunks below a Ref, in order, some of them more than once.

    Raises:
        MissingObjectError: a manifest or an index is not here.
        IntegrityError: one was damaged.
    """
    for _, index in indexes_below(documents, ref):
        for entry in documents.entries(index):
            for chunk in entry.refs():
                yield chunk.digest


def manifest_of(documents: Documents, artifact: Digest) -> Manifest:
    """Read a manifest without asking whose seal it carries. Errors as in `indexes_below`."""
    from toolkit.wire.manifest import decode_manifest  # routes have none, and seals bring a large library
    from toolkit.wire.signature import Sealed

    sealed = documents.get_sealed(artifact)
    what = f"manifest {artifact[:12]}"
    return decode_manifest(decode_json(sealed, Sealed, what=what, limit=2 * MAX_DOCUMENT_BYTES).payload)[1]
