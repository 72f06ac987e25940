"""What storages of the tiers say of themselves, for a backup: Refs with holds and pins, catalogue, audit log, indexes.

Documents only, no data: after a loss they tell what there was, where, and under which digest, so that what is missing
can be named and fetched from another copy. `restore` lays them down as files; it never claims in a storage that data
are there which are not.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.backup.part import Item
from toolkit.sync.remotes.remote import Found, Remote

STORAGES = "storages"
_DOCUMENTS = (
    *("refs/", "catalogue/", "audit/", "tags/", "reads/", "verified/"),
    *("manifests/", "indexes/"),
)
"""Refs (heads of routes, pins, legal holds) first, for the reason that `gather_registry` gives."""
_NAMED_BY_CONTENT = ("indexes/",)


def storage_items(name: str, remote: Remote) -> Iterator[Item]:
    """Give a file for each document of a storage.

    Args:
        name: what its folder in the backup is called, such as `cold-1`.
        remote: the storage, or the sidecar of a mirror.

    Raises:
        RemoteUnavailableError: it does not answer.
    """
    for prefix in _DOCUMENTS:
        for found in remote.list(prefix):
            yield _item(name, remote, found, fixed=prefix in _NAMED_BY_CONTENT)


def _item(name: str, remote: Remote, found: Found, *, fixed: bool) -> Item:
    return Item(f"{name}/{found.key}", lambda: remote.read(found.key), found.size if fixed else None)
