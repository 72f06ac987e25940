"""Tags that people give to data, for rules that go by them.

    tags/XX/DIGEST      the tags of one path of a storage; DIGEST is that of the path, XX its first two digits

A tag of a folder holds for all that lies below it unless a nearer one says otherwise. `survey` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from toolkit.errors import IntegrityError, MissingObjectError, UsageError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.merge import parents_of
from toolkit.wire.digest import digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, Document, decode_json, encode_json
from toolkit.wire.paths import check_path

_ROOT = "tags/"
_MOST = 64
_LONGEST = 256


class Tags(Document, frozen=True, kw_only=True):
    """The tags of a path."""

    FORMAT: ClassVar[int] = 1
    path: bytes
    """Relative to the storage. Base64 in the JSON."""
    tags: dict[str, str]


def set_tags(documents: Documents, path: bytes, changes: Mapping[str, str | None]) -> dict[str, str]:
    """Give tags to a path, or take them away (None), and say what it has now.

    Raises:
        UnsafePathError: the path would leave the storage.
        UsageError: too many tags, or too long ones.
        RemoteUnavailableError: the storage does not answer.
    """
    if path:
        check_path(path)
    now = dict(tags_in(documents).get(path, {}))
    for key, value in changes.items():
        now.pop(key, None)
        if value is not None:
            now[key] = value
    if len(now) > _MOST or any(not key or len(key) + len(value) > _LONGEST for key, value in now.items()):
        message = (
            f"a path has at most {_MOST} tags with at most {_LONGEST} letters each, and none without a name"
        )
        raise UsageError(message, hint="tiers sync tag PATH KEY=VALUE")
    if now:
        documents.remote.write(_key(path), encode_json(Tags(path=path, tags=now)))
    else:
        documents.remote.delete(_key(path))
    return now


def tags_in(documents: Documents) -> dict[bytes, dict[str, str]]:
    """Give every path with its own tags.

    Raises:
        IntegrityError: one was damaged: a rule might delete what a tag protects.
        RemoteUnavailableError: the storage does not answer.
    """
    found: dict[bytes, dict[str, str]] = {}
    for each in documents.remote.list(_ROOT):
        try:
            data = documents.remote.read(each.key, limit=MAX_DOCUMENT_BYTES)
        except MissingObjectError:
            continue  # taken away since it was listed
        record = decode_json(data, Tags, what=f"{each.key} in {documents.remote.url}")
        if _key(record.path) != each.key:
            raise IntegrityError(f"{each.key} in {documents.remote.url} is not of the path that it names")
        found[record.path] = record.tags
    return found


def tags_of(tags: Mapping[bytes, Mapping[str, str]], path: bytes) -> dict[str, str]:
    """Give the tags that hold for a path: its own, then those of the folders above it, the nearest first."""
    if not tags:
        return {}
    held: dict[str, str] = {}
    for way in (b"", *reversed(parents_of(path)), path):
        held.update(tags.get(way, {}))
    return held


def _key(path: bytes) -> str:
    digest = digest_of(path)
    return f"{_ROOT}{digest[:2]}/{digest}"
