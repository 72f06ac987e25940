"""The backups that lie in a store, and the files of one of them. Between `take` and `plan`.

A backup is the Ref `backups/SITE/NUMBER`, kind index. `SavedRemote` shows the objects below one of its folders as a
Remote that cannot be written, so that everything that reads a registry reads a saved one too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone

from toolkit.backup.facts import FACTS_FILE, MAX_FACTS_BYTES, Facts, decode_facts
from toolkit.errors import IntegrityError, MissingObjectError, UsageError
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, check_key, check_prefix
from toolkit.wire.entry import Entry

ROOT = "backups/"


@dataclass(frozen=True)
class Saved:
    """One backup."""

    store: PackStore = field(repr=False)
    site: str
    number: int
    ref: Ref
    facts: Facts
    entries: dict[str, Entry] = field(repr=False)
    """By path."""

    @property
    def name(self) -> str:
        """How people name it."""
        return f"backup {self.number} of {self.site}"

    @property
    def made(self) -> str:
        """When, for people: UTC, to the second, by the clock of who made it."""
        return datetime.fromtimestamp(self.facts.made_ms / 1000, timezone.utc).strftime(
            "%Y-%m-%d %H:%M:%S UTC"
        )

    def read(self, path: str, *, limit: int = MAX_OBJECT_BYTES) -> bytes:
        """Give a file, proven chunk by chunk.

        Raises:
            MissingObjectError: the backup, or the store, does not have it.
            IntegrityError: it was damaged, or is larger than `limit` bytes.
        """
        entry = self.entries.get(path)
        if entry is None:
            raise MissingObjectError(f"{self.name} has no {path}")
        if entry.size > limit:
            raise IntegrityError(f"{path} in {self.name} has {entry.size} bytes; at most {limit} are read")
        return b"".join(self.store.read_chunk(chunk.digest) for chunk in entry.refs())

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Give the bytes from `start` to `end` of a file. Errors as in `read`."""
        pieces: list[bytes] = []
        offset = 0
        for chunk in self.entries[path].refs():
            if offset < end and offset + chunk.size > start:
                data = self.store.read_chunk(chunk.digest)
                pieces.append(data[max(0, start - offset) : end - offset])
            offset += chunk.size
        return b"".join(pieces)


class SavedRemote:
    """The objects of a folder of a backup, as a Remote that is only read."""

    def __init__(self, saved: Saved, folder: str, url: str = "") -> None:
        """Stand on a backup; `folder` is one of its parts, `url` how it is called instead of its own name."""
        self._saved = saved
        self._folder = f"{folder}/"
        self._url = url or f"{saved.store.remote.url}/{ROOT}{saved.site}/{saved.number}"

    @property
    def url(self) -> str:
        """Which backup it is."""
        return self._url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`."""
        path = self._folder + check_key(key)
        entry = self._saved.entries.get(path)
        if entry is None:
            raise MissingObjectError(f"{self.url} has no {key}")
        end = entry.size if length is None else min(entry.size, start + length)
        if end - start > limit:
            raise IntegrityError(f"{self.url}/{key}: {end - start} bytes to read; at most {limit} are")
        return self._saved.read_range(path, start, end) if end > start else b""

    def write(self, key: str, data: bytes) -> None:
        """Refuse. Raises UsageError."""
        raise self._refused(key, data)

    def write_new(self, key: str, data: bytes) -> bool:
        """Refuse. Raises UsageError."""
        raise self._refused(key, data)

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self._folder + check_key(key) in self._saved.entries

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in order; see `Remote.list`."""
        root = self._folder + check_prefix(prefix)
        for path in sorted(self._saved.entries):
            if path.startswith(root):
                yield Found(path.removeprefix(self._folder), self._saved.entries[path].size)

    def delete(self, key: str) -> bool:
        """Refuse. Raises UsageError."""
        raise self._refused(key, b"")

    def _refused(self, key: str, data: bytes) -> UsageError:
        return UsageError(f"{self.url} is a backup; {key} ({len(data)} bytes) cannot be changed in it")


def numbers_of(store: PackStore, site: str) -> list[int]:
    """List the backups of a site that lie in a store, the oldest first."""
    names = (name.removeprefix(f"{ROOT}{site}/") for name in store.list_refs(f"{ROOT}{site}/"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def sites_of(store: PackStore) -> list[str]:
    """List the sites that a store has backups of."""
    return sorted({name.removeprefix(ROOT).partition("/")[0] for name in store.list_refs(ROOT)})


def open_saved(store: PackStore, site: str = "", number: int = 0) -> Saved:
    """Open a backup.

    Args:
        store: where it lies.
        site: whose it is; empty for the only one that is there.
        number: which one; 0 for the newest.

    Raises:
        UsageError: there is none such.
        IntegrityError: it was damaged.
    """
    sites = sites_of(store)
    if not site and len(sites) == 1:
        site = sites[0]
    there = numbers_of(store, site) if site else []
    if not there:
        message = (
            f"{store.remote.url} has no backup of {site}" if site else f"{store.remote.url} has no backup"
        )
        hint = f"--site takes one of: {', '.join(sites)}" if sites else "tiers backup TO makes one"
        if sites and not site:
            message = f"{store.remote.url} has backups of several sites"
        raise UsageError(message, hint=hint)
    if number and number not in there:
        raise UsageError(
            f"there is no backup {number} of {site}", hint=f"--at takes one of: {', '.join(map(str, there))}"
        )
    chosen = number or there[-1]
    ref = store.read_ref(f"{ROOT}{site}/{chosen}")
    if ref is None or ref.kind != "index":
        raise IntegrityError(f"backup {chosen} of {site} has no index", hint="tiers restore --at another one")
    return read_saved(store, site, chosen, ref)


def read_saved(store: PackStore, site: str, number: int, ref: Ref) -> Saved:
    """Read the index and the facts of a backup.

    Raises:
        MissingObjectError, IntegrityError: they are not there, or were damaged.
    """
    what = f"backup {number} of {site}"
    entries: dict[str, Entry] = {}
    for entry in store.entries(ref.digest):
        path = entry.path.decode("utf-8", "replace")
        if entry.kind != "file" or "\ufffd" in path:
            raise IntegrityError(
                f"{what} holds {path!r}, which is no file of a backup", hint="do not restore it"
            )
        entries[path] = entry
    facts_entry = entries.pop(FACTS_FILE, None)
    if facts_entry is None or facts_entry.size > MAX_FACTS_BYTES:
        raise IntegrityError(f"{what} does not say what it is", hint="tiers restore --at another one")
    data = b"".join(store.read_chunk(chunk.digest) for chunk in facts_entry.refs())
    return Saved(store, site, number, ref, decode_facts(data, what=what), entries)
