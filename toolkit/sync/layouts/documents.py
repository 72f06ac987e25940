"""The documents of a Remote: indexes, sealed manifests, Refs. The same in every layout.

    indexes/DIGEST      an index, named by its bytes; or a part of one that is in parts (`wire.tree`). Either may
                        rest as an overlay of older ones (`wire.index_overlay`), which its readers do not notice
    manifests/ARTIFACT  a sealed manifest, named by its payload
    refs/NAME           a Ref, written last

`packs.PackStore` adds chunks to them; `layouts.mirror` keeps them in its sidecar.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

import msgspec

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.layouts.list_runs import Known, has_long_list, overlay_of
from toolkit.sync.ref import Ref, decode_ref, encode_ref
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.digest import Digest, digest_of, from_raw
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.index import MAX_INDEX_BYTES, Entry, Index, Listing, encode_index
from toolkit.wire.index_overlay import MAX_BASES, IndexOverlay, decode_index_overlay, is_index_overlay
from toolkit.wire.tree import Part, Tree, as_tree, read_tree

_NO_OVERLAYS = ("mqtt://",)
"""An inbox takes from a device what has the digest that names it, and nothing else."""
_CURE = "tiers sync verify --repair mends it from another copy"


class Documents:
    """Indexes, manifests and Refs of one Remote. Usable by several threads."""

    lays_indexes: ClassVar[bool] = False
    """Whether indexes are written as overlays here. A mirror's are not: it keeps no old ones to lay them on."""

    def __init__(self, remote: Remote) -> None:
        """Stand on a Remote."""
        self.remote = remote
        self._rests_on: dict[Digest, tuple[Digest, ...]] = {}
        """What indexes that were read or written here rest on; nothing for those that rest whole."""
        self._may_have_overlays = False

    def put_whole_index(self, index: Index) -> Digest:
        """Store an index as one document and give its digest. Its chunks must be stored already.

        For artifacts, whose readers want it whole, however many entries it has.

        Raises:
            IntegrityError: it is larger than any reader takes.
        """
        digest, data = encode_index(index)
        self._put(digest, data)
        return digest

    def put_index(self, index: Listing, *, like: Tree | None = None) -> Digest:
        """Store an index, whose chunks must be stored already, and give its digest.

        A large one goes in parts: those that are not here yet, then the root.

        Args:
            index: what to store.
            like: an index of this store whose Ref stands until this one's does. What both say of large files is not
                written again.

        Raises:
            IntegrityError: a part is larger than any reader takes.
        """
        tree = as_tree(index)
        self.put_parts(tree, like=like)
        digest, data = tree.root()
        self._put(digest, data, like, tree.parts if tree.whole else ())
        return digest

    def put_parts(self, tree: Tree, *, like: Tree | None = None) -> None:
        """Store the parts of an index that are not here; of one that is written whole there are none.

        Arguments and errors as in `put_index`.
        """
        for part in self._new_parts(tree, like):
            digest = from_raw(part.digest)
            self._put(digest, tree.load(digest), like, (part,))

    def index_objects(self, tree: Tree) -> Iterator[tuple[str, bytes]]:
        """Yield the key and the bytes of what an index consists of: parts that are not here, then what names it.

        For who stores many things at once. Errors as in `put_index`.
        """
        for part in self._new_parts(tree):
            digest = from_raw(part.digest)
            yield f"indexes/{digest}", _readable(tree.load(digest))
        digest, data = tree.root()
        yield f"indexes/{digest}", _readable(data)

    def _new_parts(self, tree: Tree, like: Tree | None = None) -> Iterator[Part]:
        if tree.whole:
            return
        # A listing takes as long as a few questions, and a million files have a thousand parts.
        here = {found.key: found.size for found in self.remote.list("indexes/")}
        needed = {part.digest for part in like.parts} if like is not None else set()
        for part in tree.parts:
            digest = from_raw(part.digest)
            size = here.get(f"indexes/{digest}")
            if size is None:
                yield part
            elif self.lays_indexes and part.digest not in needed and size != len(tree.load(digest)):
                yield part  # an overlay that nothing may need any more: `_put` looks what it rests on

    def _put(self, digest: Digest, data: bytes, like: Tree | None = None, parts: Sequence[Part] = ()) -> None:
        form = _readable(data)
        if like is not None and self.lays_indexes and has_long_list(data):
            known = [each for part in parts for each in self._older(like, part)]
            form = overlay_of(data, known) or data if known else data
        key = f"indexes/{digest}"
        if not self.remote.write_new(key, form) and self.lays_indexes:
            if self._stands(digest):
                return
            form = data  # garbage whose base has been collected already
            self.remote.write(key, form)
        self._rests_on[digest] = self._look_at(digest, form)

    def _stands(self, digest: Digest) -> bool:
        """Say whether an index that is here rests whole, or on what is here too."""
        try:
            bases = self._resting_on(digest, anew=True)
        except (MissingObjectError, IntegrityError):
            return False
        return all(self.remote.exists(f"indexes/{base}") for base in bases)

    def _older(self, like: Tree, new: Part) -> Iterator[Known]:
        """Yield the documents of an older index in which the paths of a part would be, the first of them at most."""
        if self.remote.url.startswith(_NO_OVERLAYS):
            return
        near = [
            part
            for part in like.parts
            if part.entries and (like.whole or (part.last >= new.first and part.first <= new.last))
        ]
        for part in near[:MAX_BASES]:
            digest = from_raw(part.digest)
            with suppress(MissingObjectError, IntegrityError):  # then it is written whole
                data, overlay = like.load(digest), None
                if self._resting_on(digest):
                    overlay = self._index_overlay(digest, self._read_resting(digest))
                if digest_of(data) == digest:
                    yield Known(digest, data, overlay)

    def get_index(self, digest: Digest) -> Index:
        """Read an index, all of it, and prove that it is whole and safe. `get_tree` reads large ones part by part.

        Raises:
            MissingObjectError: it, or a part of it, is not here.
            IntegrityError: it was damaged.
        """
        return Index(entries=tuple(self.entries(digest)))

    def get_tree(self, digest: Digest) -> Tree:
        """Read the root of an index; its parts are read, and proven, when they are asked for.

        Errors as in `get_index`, those about parts when they are read.
        """
        return read_tree(self.get_index_bytes(digest), digest, self.get_index_bytes)

    def entries(self, digest: Digest) -> Iterator[Entry]:
        """Yield what an index lists, in order of path, without holding more of it than a part.

        For whoever walks an index once: verifying, collecting, looking things up. Errors as in `get_index`.
        """
        yield from self.get_tree(digest).entries

    def index_keys(self, digest: Digest, *, anew: bool = False) -> Iterator[str]:
        """Yield the keys of all objects that an index consists of: itself, its parts, and what these are overlays of.

        Who collects garbage keeps them together. Errors as in `get_index`; a damaged root is told after its own key.

        Args:
            digest: the index.
            anew: look how it and its parts rest, though that is known of a while ago.
        """
        yield f"indexes/{digest}"
        tree = self.get_tree(digest)
        for each in (digest, *(from_raw(part.digest) for part in tree.parts if not tree.whole)):
            if each != digest:
                yield f"indexes/{each}"
            if self.lays_indexes:
                yield from (f"indexes/{base}" for base in self._resting_on(each, anew=anew))

    def damaged_bases(self, digest: Digest) -> Iterator[tuple[str, IntegrityError | MissingObjectError]]:
        """Yield the key of each document that an index, or a part, rests on and that is not what it should be."""
        with suppress(MissingObjectError, IntegrityError):
            for base in self._resting_on(digest, anew=True):
                try:
                    self._read_base(base, f"index {digest[:12]}")
                except (MissingObjectError, IntegrityError) as error:
                    yield f"indexes/{base}", error

    def get_index_bytes(self, digest: Digest) -> bytes:
        """Read an index's bytes, unchecked; for who passes them on to a reader that checks.

        Raises:
            MissingObjectError: it is not here, or what it is an overlay of.
            IntegrityError: what it is an overlay of is damaged, or it says of that what cannot be.
        """
        data = self._read_resting(digest)
        if not is_index_overlay(data):
            return data
        what = f"index {digest[:12]}"
        return self._index_overlay(digest, data).laid(lambda base: self._read_base(base, what), what=what)

    def _read_resting(self, digest: Digest) -> bytes:
        """Read an index as it rests: its bytes, or an overlay."""
        data = self.remote.read(f"indexes/{digest}", limit=MAX_INDEX_BYTES)
        self._rests_on[digest] = self._look_at(digest, data)
        return data

    def _look_at(self, digest: Digest, data: bytes) -> tuple[Digest, ...]:
        if not is_index_overlay(data):
            return ()
        self._may_have_overlays = True
        return self._index_overlay(digest, data).base_digests()

    def _index_overlay(self, digest: Digest, data: bytes) -> IndexOverlay:
        return decode_index_overlay(data, what=f"index {digest[:12]} in {self.remote.url}")

    def _resting_on(self, digest: Digest, *, anew: bool = False) -> tuple[Digest, ...]:
        if anew or digest not in self._rests_on:
            self._read_resting(digest)
        return self._rests_on[digest]

    def _read_base(self, base: Digest, what: str) -> bytes:
        """Read what an index is an overlay of; it must rest whole."""
        try:
            data = self.remote.read(f"indexes/{base}", limit=MAX_INDEX_BYTES)
        except MissingObjectError as error:
            message = f"{what} is an overlay of index {base[:12]}, which {self.remote.url} does not have"
            raise MissingObjectError(message, hint=_CURE) from error
        if digest_of(data) != base:
            message = (
                f"{what} is an overlay of index {base[:12]}, which does not hold the bytes it is named after"
            )
            raise IntegrityError(message, hint=_CURE)
        return data

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
        ref = decode_ref(data, what=f"Ref {name} in {self.remote.url}")
        self._may_have_overlays |= ref.index_overlays
        return ref

    def write_ref(self, name: str, ref: Ref) -> None:
        """Let a name point somewhere, in one step. Everything below it must be stored already."""
        self.remote.write(f"refs/{name}", encode_ref(self.as_written(ref)))

    def write_new_ref(self, name: str, ref: Ref) -> bool:
        """Let a new name point somewhere; say whether it was new. A name that is there keeps what it points to."""
        return self.remote.write_new(f"refs/{name}", encode_ref(self.as_written(ref)))

    def as_written(self, ref: Ref) -> Ref:
        """Give a Ref with what is said in it when it is written here: the time, if it has none, and what to know.

        Who followed a Ref that said so, or came by an overlay of an index, says so too; that may be once too often.
        """
        if self._may_have_overlays and ref.kind == "index" and not ref.index_overlays:
            ref = msgspec.structs.replace(ref, index_overlays=True, format=0)
        return ref if ref.written_ms else msgspec.structs.replace(ref, written_ms=time.time_ns() // 1_000_000)

    def list_refs(self, prefix: str = "") -> tuple[str, ...]:
        """List the names below a prefix (`models/`; empty for all), in order."""
        return tuple(found.key.removeprefix("refs/") for found in self.remote.list(f"refs/{prefix}"))

    def delete_ref(self, name: str) -> bool:
        """Forget a name; say whether it was there. What it pointed to stays until it is collected."""
        return self.remote.delete(f"refs/{name}")


def _readable(data: bytes) -> bytes:
    """Give the bytes of an index if readers take so many."""
    if len(data) > MAX_INDEX_BYTES:
        raise IntegrityError(
            f"an index of {len(data)} bytes is too large; at most {MAX_INDEX_BYTES} are read",
            hint="cut its files in larger pieces (grid: archive)",
        )
    return data


def _checked(artifact: Digest, sealed: bytes) -> bytes:
    from toolkit.wire.signature import Sealed  # cryptography takes its time, and a sync has no manifests

    document = decode_json(sealed, Sealed, what=f"manifest {artifact[:12]}", limit=2 * MAX_DOCUMENT_BYTES)
    if document.type != "manifest" or digest_of(document.payload) != artifact:
        raise IntegrityError(f"manifest {artifact[:12]} does not hold what it is named after")
    return sealed
