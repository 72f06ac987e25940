"""Legal holds: what nothing may take away, neither rules nor routes nor the collection of garbage.

    refs/holds/NAME → an index of what lay at the path in that storage when it was held; empty when nothing did

The Ref's `path` is the path that is held, with all that lies or comes below it; its `note` says who and why. Garbage
collection keeps what a Ref names; `rules` never take away what is held anywhere; routes leave it as it is in mirrors
(`standing`). A hold is written to every storage, so that what is brought there later is held too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toolkit.errors import IntegrityError, TiersError
from toolkit.sync.folder import Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.policies.shelf import Remotes, is_at_or_below, open_shelf
from toolkit.sync.promise import promised
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.task import Storage
from toolkit.wire.digest import digest_of
from toolkit.wire.index import Index
from toolkit.wire.paths import check_path, shown

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_ROOT = "holds/"


class Hold(NamedTuple):
    """A hold as a storage has it."""

    name: str
    path: bytes
    """What is held, with all below it; empty is the whole storage."""
    note: str
    """Who and why."""
    written_ms: int


@dataclass(frozen=True)
class HoldResult:
    """What came of a hold or its release at one storage."""

    tier: str
    url: str
    name: str
    files: int = 0
    """Files that lay there when it was held."""
    changed: bool = False
    error: str = ""
    exit_code: int = 0


def name_of_hold(path: bytes) -> str:
    """Give the name of a hold that nobody has named."""
    return f"path-{digest_of(path)[:16]}"


def hold(
    places: Iterable[Storage],
    path: bytes,
    *,
    note: str,
    now_ms: int,
    name: str = "",
    remotes: Remotes = open_storage,
) -> list[HoldResult]:
    """Hold a path in every storage. Holding it again under the same name looks again at what lies there.

    Args:
        places: all storages of the site.
        path: a file or folder below them; empty is everything.
        note: who and why.
        now_ms: the time, in milliseconds since 1970.
        name: of the hold; empty takes one from the path.
        remotes: opens a Remote.

    Returns:
        A result for each storage; one that does not answer carries its error, the others are held all the same.

    Raises:
        UnsafePathError: the path would leave the storage.
        IntegrityError: `name` is no name, or the path is no text.
    """
    if path:
        check_path(path)
    try:
        path.decode()
    except UnicodeDecodeError as error:
        message = f"{shown(path)!r} is no text, and the name of a hold is"
        raise IntegrityError(message, hint="hold the folder that it lies in") from error
    name = _checked(name or name_of_hold(path))
    results: list[HoldResult] = []
    for place in places:
        try:
            results.append(_hold_one(place, path, name, note, now_ms, remotes))
        except TiersError as error:
            results.append(
                HoldResult(place.tier, place.url, name, error=error.message, exit_code=error.exit_code)
            )
    return results


def release_hold(
    places: Iterable[Storage], path: bytes, *, name: str = "", remotes: Remotes = open_storage
) -> list[HoldResult]:
    """Take holds away from every storage: all those of exactly this path, or only the one of that name.

    Raises:
        IntegrityError: `name` is no name.
    """
    if name:
        _checked(name)
    results: list[HoldResult] = []
    for place in places:
        try:
            shelf = open_shelf(place, remotes)
            try:
                documents = shelf.documents
                for each in holds_in(documents) if documents is not None else ():
                    if documents is not None and each.path == path and name in {"", each.name}:
                        gone = documents.delete_ref(_ROOT + each.name)
                        results.append(HoldResult(place.tier, place.url, each.name, changed=gone))
            finally:
                shelf.close()
        except TiersError as error:
            results.append(
                HoldResult(place.tier, place.url, name, error=error.message, exit_code=error.exit_code)
            )
    return results


def holds_in(documents: Documents) -> list[Hold]:
    """List the holds that a storage has.

    Raises:
        IntegrityError: one was damaged, so that nobody knows what it holds.
        RemoteUnavailableError: the storage does not answer.
    """
    found: list[Hold] = []
    for name in documents.list_refs(_ROOT):
        ref = documents.read_ref(name)
        if ref is not None:
            found.append(
                Hold(
                    name.removeprefix(_ROOT),
                    ref.path.encode(),
                    ref.note,
                    ref.written_ms,
                )
            )
    return found


def held_by(holds: Sequence[Hold], path: bytes) -> str:
    """Say who holds a path and why; empty when nobody does."""
    return next((f"{each.name}: {each.note}" for each in holds if is_at_or_below(path, each.path)), "")


def documents_for_writing(place: Storage, remotes: Remotes = open_storage) -> Documents:
    """Open the documents of a storage, and make the sidecar of a mirror that has none yet.

    Raises:
        RemoteUnavailableError: the storage is not there, does not answer, or cannot be written.
    """
    if place.layout == "mirror":
        root = Folder(
            folder_of(place.url)
        )  # an empty mount point is no storage: nothing is made in its place
        try:
            with root.folder(SIDECAR, create=True):
                pass
        except OSError as error:
            raise unavailable(error, root.path) from error
        finally:
            root.close()
    shelf = open_shelf(place, remotes)
    documents = shelf.documents
    shelf.close()
    if documents is None:
        raise ValueError("a sidecar that was just made has documents")
    return documents


def _hold_one(place: Storage, path: bytes, name: str, note: str, now_ms: int, remotes: Remotes) -> HoldResult:
    shelf = open_shelf(place, remotes)
    try:
        entries = shelf.entries([item.path for item in shelf.items(path)])
    finally:
        shelf.close()
    documents = documents_for_writing(place, remotes)
    digest = documents.put_index(Index(entries=tuple(entries)))
    text = path.decode()
    new = Ref(kind="index", digest=digest, path=text, note=note, written_ms=now_ms)
    old = documents.read_ref(_ROOT + name)
    if old is not None and old.path != text:
        raise IntegrityError(
            f"{place.url} has a hold {name} of {old.path!r}",
            hint="give this one another name with --name",
        )
    with promised(documents, new, lambda: None):
        documents.write_ref(_ROOT + name, new)
    changed = old is None or (old.digest, old.note) != (digest, note)
    return HoldResult(place.tier, place.url, name, len(entries), changed)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise IntegrityError(
            f"{name[:70]!r} is no name of a hold", hint="use letters, digits, dots, dashes, underscores"
        )
    return name
