"""What a registry holds, for a backup: its Refs first, then everything else. And whether a saved one is whole.

Refs are read at once and before all else. Who writes a registry writes chunks, index, manifest, Ref in this order, so
what is listed after the Refs holds all that is below them. Only a collection that runs meanwhile could take something
away; `check_registry` finds that, and `take` refuses.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.backup.part import Item, Part, known
from toolkit.errors import IntegrityError, MissingObjectError, TiersError
from toolkit.sync.below import chunks_below, keys_below
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.remote import Found, Remote

REGISTRY = "registry"
_REFS = "refs/"
_CHANGING = ("manifests/",)
"""A manifest may get one more signature."""
_NAMED_BY_CONTENT = ("indexes/", "packs/")


def gather_registry(remote: Remote) -> Part:
    """Give the part of a backup that holds a registry.

    Raises:
        RemoteUnavailableError: it does not answer.
    """
    refs = [known(found.key, remote.read(found.key)) for found in list(remote.list(_REFS))]
    return Part(REGISTRY, _items(remote, refs))


def check_registry(remote: Remote) -> None:
    """Follow every Ref of a saved registry down to its chunks.

    Raises:
        IntegrityError: a Ref points to something that is not there or damaged.
    """
    store = PackStore(remote)
    for name in store.list_refs():
        try:
            ref = store.read_ref(name)
            if ref is None:
                continue
            for key in keys_below(store, ref):
                if not remote.exists(key):
                    raise MissingObjectError(f"{remote.url} has no {key}")
            missing = store.missing(chunks_below(store, ref))
        except TiersError as error:
            raise _torn(name, error.message) from error
        if missing:
            raise _torn(name, f"{len(missing)} chunks are missing, such as {missing[0][:12]}")


def _items(remote: Remote, refs: list[Item]) -> Iterator[Item]:
    yield from refs
    for prefix in (*_CHANGING, *_NAMED_BY_CONTENT):
        for found in remote.list(prefix):
            yield _item(remote, found, fixed=prefix in _NAMED_BY_CONTENT)


def _item(remote: Remote, found: Found, *, fixed: bool) -> Item:
    return Item(found.key, lambda: remote.read(found.key), found.size if fixed else None)


def _torn(name: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"the registry's Ref {name} is not whole in the backup: {why}",
        hint="tiers sync verify shows whether the registry itself is damaged; after a collection, run it again",
    )
