"""A route that brings one large file, of tiny chunks so that it costs little; its indexes are laid over older ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import write_state
from toolkit.wire.chunk import store_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Index, file_entry
from toolkit.wire.index_overlay import is_index_overlay

ROOT = "routes/large"
MANY = 2000
"""Chunks of the file: their list is longer than the shortest that is laid over another one."""


def pieces_of(seed: int, count: int = MANY) -> list[bytes]:
    """Give the chunks of a file."""
    draw = random.Random(seed)
    return [draw.randbytes(6) for _ in range(count)]


def changed(pieces: Sequence[bytes], seed: int) -> list[bytes]:
    """Give them with a few others inserted."""
    at = random.Random(seed).randrange(len(pieces))
    return [*pieces[:at], *pieces_of(1000 + seed, 3), *pieces[at:]]


def index_of(pieces: Sequence[bytes]) -> Index:
    """Give the index of the file."""
    refs = [ChunkRef(digest_of(each), len(each)) for each in pieces]
    return Index(entries=(file_entry(b"large", refs, mtime_ns=len(pieces)),))


def bring(remote: Remote, pieces: Sequence[bytes]) -> Ref:
    """Bring a state as a run does: read the old one, store chunks, then the index, then the Refs."""
    store = PackStore(remote)
    head = store.read_ref(f"{ROOT}/head")
    old = store.get_tree(head.digest) if head else None
    store.look_to_write()
    store.add(StoredChunk(digest_of(each), len(each), store_chunk(each)) for each in pieces)
    digest = store.put_index(index_of(pieces), like=old)
    return write_state(store, ROOT, head, digest, "large")


def overlays_in(remote: Remote) -> set[str]:
    """Give the keys of indexes that rest as overlays."""
    keys = [found.key for found in remote.list("indexes/")]
    return {key for key in keys if is_index_overlay(remote.read(key))}


def held(remote: Remote) -> Digest:
    """Give the digest of the index that the head names, all of it read and proven."""
    documents: Documents = PackStore(remote)
    head = documents.read_ref(f"{ROOT}/head")
    assert head is not None
    documents.get_index(head.digest)
    return head.digest
