"""A Remote around a Remote: everything is encrypted before it leaves and authenticated when it comes back.

The layouts stand on it as on any Remote; behind it may lie a folder, a host or a bucket that must not read along. Bytes
are `wire.cipher`'s, names `wire.cipher_names`'. An empty object `cipher/ID` says which key the names are made with, so
that somebody with another key, or with none, is told instead of finding an empty store and filling it a second time.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from toolkit.errors import IntegrityError, MissingObjectError, UsageError
from toolkit.sync.key_file import read_key_file
from toolkit.sync.remotes.cipher_marks import MARKS, marks_of, refuse_encrypted
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, Remote, check_key, check_prefix
from toolkit.wire.cipher import (
    HEAD_BYTES,
    SALT_BYTES,
    SEALED_SEGMENT_BYTES,
    SEGMENT_BYTES,
    ObjectCipher,
    decrypt_object,
    encrypt_object,
    open_head,
    plain_size,
    sealed_size,
)
from toolkit.wire.cipher_keys import CipherKeys
from toolkit.wire.cipher_names import CipherNames

_PLACES_OF_DATA = ("refs/", "packs/")
_HEADS = 4096
"""So many heads of objects are remembered, so that a second range of a pack costs one request."""


class EncryptedRemote:
    """Objects that nobody reads without the key."""

    def __init__(self, inner: Remote, keys: CipherKeys) -> None:
        """Stand on a Remote; nothing is asked of it yet."""
        self._inner = inner
        self._keys = keys
        self._names = CipherNames(keys.names)
        self._mark = MARKS + keys.names.key_id
        self._known = False
        self._marked = False
        self._lock = threading.Lock()
        self._heads: OrderedDict[str, ObjectCipher] = OrderedDict()

    @property
    def url(self) -> str:
        """Where it is."""
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object, proven; see `Remote.read`.

        Raises:
            IntegrityError: also when they are not what was written under this key, or need another key.
        """
        name = self._name(key)
        # One byte more than may be read tells that there is more.
        wanted = limit + 1 if length is None else min(length, limit + 1)
        try:
            if start == 0 or start + wanted <= SEGMENT_BYTES:
                data = self._read_begin(key, name, start + wanted)[start:]
            else:
                data = self._read_range(key, name, start, wanted)
        except MissingObjectError as error:
            raise MissingObjectError(f"{self.url} has no {key}") from error
        if len(data) > limit:
            rest = self._size(name) - start
            size = rest if length is None else min(rest, length)
            raise IntegrityError(f"{self.url}/{key}: {size} bytes to read; at most {limit} are")
        return data

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        self._inner.write(self._name(key, writing=True), self._sealed(key, data))

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new`."""
        return self._inner.write_new(self._name(key, writing=True), self._sealed(key, data))

    def made_ready(self, key: str, data: bytes, *, new: bool) -> Callable[[], object]:
        """Encrypt an object that is written later; see `ready.made_ready`."""
        name, sealed = self._name(key, writing=True), self._sealed(key, data)
        return partial(self._inner.write_new if new else self._inner.write, name, sealed)

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self._inner.exists(self._name(key))

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and plain sizes in the order of the keys; what is not ours is left out. See `Remote.list`."""
        check_prefix(prefix)
        self._admit()
        found: list[Found] = []
        for each in self._inner.list(self._names.encrypt_prefix(prefix)):
            key = self._names.decrypt(each.key)
            if key is not None:
                found.append(Found(key, plain_size(each.size), each.modified_ms))
        yield from sorted(found)

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        return self._inner.delete(self._name(key))

    def _name(self, key: str, *, writing: bool = False) -> str:
        check_key(key)
        self._admit(writing=writing)
        return self._names.encrypt(key)

    def _sealed(self, key: str, data: bytes) -> bytes:
        return encrypt_object(data, self._keys.newest, key, secrets.token_bytes(SALT_BYTES))

    def _read_begin(self, key: str, name: str, wanted: int) -> bytes:
        """Read head and segments in one request."""
        segments = -(-wanted // SEGMENT_BYTES)
        # One byte more tells whether the object goes on behind them.
        most = HEAD_BYTES + segments * SEALED_SEGMENT_BYTES
        sealed = self._inner.read(name, length=most + 1, limit=most + 1)
        if len(sealed) <= most:
            return decrypt_object(sealed, self._keys, key, what=self._what(key))[:wanted]
        cipher = open_head(sealed[:HEAD_BYTES], self._keys, key, what=self._what(key))
        return cipher.open(memoryview(sealed)[HEAD_BYTES:most], first=0, ends=False)[:wanted]

    def _read_range(self, key: str, name: str, start: int, wanted: int) -> bytes:
        """Read the segments that a range lies in; their head is remembered."""
        cipher = self._heads.get(name)
        if cipher is not None:
            try:
                return self._read_segments(cipher, key, name, start, wanted)
            except IntegrityError:
                with self._lock:
                    self._heads.pop(name, None)  # somebody has written the object again
        head = self._inner.read(name, length=HEAD_BYTES, limit=HEAD_BYTES)
        cipher = open_head(head, self._keys, key, what=self._what(key))
        data = self._read_segments(cipher, key, name, start, wanted)
        with self._lock:
            self._heads[name] = cipher
            while len(self._heads) > _HEADS:
                self._heads.popitem(last=False)
        return data

    def _read_segments(self, cipher: ObjectCipher, key: str, name: str, start: int, wanted: int) -> bytes:
        first = start // SEGMENT_BYTES
        last = max(start, start + wanted - 1) // SEGMENT_BYTES
        most = (last - first + 1) * SEALED_SEGMENT_BYTES
        begin = HEAD_BYTES + first * SEALED_SEGMENT_BYTES
        sealed = self._inner.read(name, start=begin, length=most + 1, limit=most + 1)
        if not sealed:
            # Nothing lies there. That the object ends before must be proven too, else it might have been cut.
            whole = self._inner.read(name, limit=sealed_size(MAX_OBJECT_BYTES))
            return decrypt_object(whole, self._keys, key, what=self._what(key))[start : start + wanted]
        opened = cipher.open(memoryview(sealed)[:most], first=first, ends=len(sealed) <= most)
        begin = start - first * SEGMENT_BYTES
        return opened[begin : begin + wanted]

    def _size(self, name: str) -> int:
        """Look an object's size up in the listing of its folder; only to say it in an error."""
        folder = name.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        return next((plain_size(each.size) for each in self._inner.list(prefix) if each.key == name), 0)

    def _what(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _admit(self, *, writing: bool = False) -> None:
        """Look, once, whether this store is encrypted for our key; say so in it before the first object is written.

        Raises:
            IntegrityError: it is encrypted for another key.
            UsageError: it holds data that is not encrypted.
        """
        if self._marked or (self._known and not writing):
            return
        marks = marks_of(self._inner)
        if marks and self._keys.names.key_id not in marks:
            raise IntegrityError(
                f"{self.url} is encrypted for key {', '.join(marks)}; the first key of the key file is "
                f"{self._keys.names.key_id}",
                hint="take the key file that this storage was begun with; its first key stays the first",
            )
        if writing and not marks:
            self._refuse_plain()
            self._inner.write_new(self._mark, b"")
        self._marked = writing or bool(marks)
        self._known = True

    def _refuse_plain(self) -> None:
        for prefix in _PLACES_OF_DATA:
            for found in self._inner.list(prefix):
                if self._names.decrypt(found.key) is None:
                    raise UsageError(
                        f"{self.url} holds data that is not encrypted",
                        hint="take an empty folder or prefix for encrypted data, or say encryption: none",
                    )
                break


def with_key(remote: Remote, key_file: str) -> Remote:
    """Put the cipher of a key file around a Remote; without one, make sure that none is needed.

    Raises:
        UsageError: the file cannot be read, or there is none and the store is encrypted.
        IntegrityError: the file holds no keys, or others may read it.
        RemoteUnavailableError: the Remote does not answer.
    """
    if not key_file:
        return refuse_encrypted(remote)
    return EncryptedRemote(remote, read_key_file(Path(key_file)))
