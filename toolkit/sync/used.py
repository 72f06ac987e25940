"""What a store needs: everything below a Ref, and below what is about to become one. The first half of `gc`.

All Refs count, whatever their names are; one that cannot be read stops the collection, because nobody knows what it
needs.
"""

from __future__ import annotations

from collections.abc import Collection

from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError
from toolkit.sync.below import indexes_below
from toolkit.sync.collecting import PENDING
from toolkit.sync.digest_table import DigestTable
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref, decode_ref
from toolkit.wire.digest import Digest
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.entry import PACKED


class Used:
    """Chunks and documents that are needed. It only grows: what was needed a moment ago counts as needed."""

    def __init__(self, documents: Documents) -> None:
        """Begin with nothing."""
        self._documents = documents
        self._walked: set[Digest] = set()
        self._parts: set[bytes] = set()
        self.chunks = DigestTable()
        self.keys: set[str] = set()
        """Of indexes and manifests."""
        self._seen: dict[str, int] = {}
        """What Refs and promises said when they were looked at last, as hashes."""
        self._looks = 0
        self.refs = 0
        self.pending: frozenset[str] = frozenset()

    def look(self, *, ignoring: Collection[str] = ()) -> None:
        """Read all promises and Refs as they are now, and add what lies below them.

        Promises come first: a writer takes its promise away only after the Ref stands.

        Args:
            ignoring: names of Refs that are about to go.

        Raises:
            IntegrityError: a Ref, or a document below one, is damaged or missing; it is named.
            RemoteUnavailableError: the store does not answer.
        """
        documents = self._documents
        self._looks += 1
        pending = [found.key for found in documents.remote.list(PENDING)]
        self.pending = frozenset(pending)
        for key in pending:
            try:
                data = documents.remote.read(key, limit=MAX_DOCUMENT_BYTES)
            except MissingObjectError:
                continue  # kept, or given up: if kept, its Ref comes below
            self._add(decode_ref(data, what=f"{documents.remote.url}/{key}"), key, promised=True)
        self.refs = 0
        for name in documents.list_refs():
            if name in ignoring:
                continue
            ref = documents.read_ref(name)
            if ref is not None:
                self.refs += 1
                self._add(ref, f"refs/{name}", promised=False)
            elif documents.remote.exists(f"refs/{name}"):
                # Taken for gone by mistake, everything below it would be garbage.
                message = f"{documents.remote.url} says that refs/{name} is there, and that it is not"
                raise RemoteUnavailableError(message, hint="nothing is collected; try again")

    def _add(self, ref: Ref, where: str, *, promised: bool) -> None:
        # An index may have gone since the last look, and have come again as an overlay of something else.
        is_same, self._seen[where] = self._seen.get(where) == hash(ref), hash(ref)
        try:
            for manifest, index in indexes_below(self._documents, ref):
                self._add_index(index, anew=self._looks > 1 and not is_same)
                if manifest:
                    self.keys.add(manifest)
        except MissingObjectError as error:
            if promised:
                return  # nothing was promised to readers yet; its writer will find out
            raise IntegrityError(
                f"{where} needs what is not there: {error.message}; nothing is collected",
                hint="tiers sync verify names everything that is damaged, with --repair it is mended",
            ) from error
        except IntegrityError as error:
            raise IntegrityError(
                f"{where} needs what is damaged: {error.message}; nothing is collected",
                hint="tiers sync verify names everything that is damaged, with --repair it is mended",
            ) from error

    def _add_index(self, digest: Digest, *, anew: bool) -> None:
        if digest in self._walked:
            if anew:
                self.keys.update(self._documents.index_keys(digest, anew=True))
            return
        tree = self._documents.get_tree(digest)
        for part in tree.parts:
            if part.digest in self._parts:
                continue  # the states of a route share most of their parts
            for entry in tree.part(part) if part.entries else ():
                for raw, _ in PACKED.iter_unpack(entry.chunks):
                    self.chunks.put(raw)
            self._parts.add(part.digest)
        self.keys.update(self._documents.index_keys(digest, anew=anew))
        self._walked.add(digest)
