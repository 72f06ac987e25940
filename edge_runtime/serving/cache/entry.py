"""One answer as it is kept, in memory and as the bytes of a file.

`keep` makes it of what a model said; `disk` writes and reads the bytes, whose form docs/formats.md describes. A file
that was cut short, or that a bad disk has changed, is no answer: the digest at its end says so.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_runtime.engine.base import Array, Tensors
from toolkit.errors import IntegrityError

_MAGIC: Final = b"tkA1"
_DIGEST_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_COST: Final = 256
"""Bytes that Python needs for an entry and its arrays besides their data."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An answer."""

    outputs: Tensors
    made: float
    """Time of day (seconds since 1970) at which the model was asked for it."""
    expires: float
    """Time of day after which it is given no more."""
    label: str = ""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return _COST + sum(_COST + array.nbytes for array in self.outputs.values())


class Head(msgspec.Struct, frozen=True):
    """What stands before the tensors in a file."""

    made: float
    expires: float
    label: str
    outputs: list[tuple[str, str, tuple[int, ...]]]
    """Name, NumPy's word for the type, shape."""


_heads: Final = msgspec.msgpack.Decoder(Head)


def own(outputs: Tensors) -> Tensors:
    """Give arrays that nobody can change and that hold no more than themselves.

    What a batch gave is a slice of the whole batch's array, which would stay in memory with it.
    """
    owned: Tensors = {}
    for name, array in outputs.items():
        copy: Array = np.array(array, order="C", copy=True)
        copy.setflags(write=False)
        owned[name] = copy
    return owned


def keepable(outputs: Tensors) -> bool:
    """Say whether these arrays are plain numbers, whose bytes are all there is to them."""
    return not any(array.dtype.hasobject for array in outputs.values())


def encode_kept(kept: Kept) -> bytes:
    """Write an answer down."""
    arrays = kept.outputs
    head = msgspec.msgpack.encode(
        Head(
            kept.made,
            kept.expires,
            kept.label,
            [(name, array.dtype.str, array.shape) for name, array in arrays.items()],
        )
    )
    parts = [_MAGIC, len(head).to_bytes(4, "big"), head, *(array.tobytes() for array in arrays.values())]
    body = b"".join(parts)
    return body + blake3(body).digest()


def decode_head(data: bytes) -> Head:
    """Read what stands before the tensors.

    Raises:
        IntegrityError: this is not the beginning of an answer.
    """
    start = len(_MAGIC) + 4
    size = int.from_bytes(data[len(_MAGIC) : start], "big")
    if not data.startswith(_MAGIC) or start + size > len(data):
        raise IntegrityError("a kept answer has no head")
    try:
        return _heads.decode(data[start : start + size])
    except msgspec.DecodeError as error:
        raise IntegrityError(f"a kept answer has a damaged head: {error}") from error


def decode_kept(data: bytes) -> Kept:
    """Read an answer.

    Raises:
        IntegrityError: it is damaged.
    """
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if blake3(body).digest() != digest:
        raise IntegrityError("a kept answer is damaged")
    head = decode_head(body)
    at = len(_MAGIC) + 4 + int.from_bytes(body[len(_MAGIC) : len(_MAGIC) + 4], "big")
    outputs: Tensors = {}
    for name, word, shape in head.outputs:
        dtype = np.dtype(word)
        count = math.prod(shape)
        if dtype.hasobject or at + count * dtype.itemsize > len(body):
            raise IntegrityError("a kept answer is not what its head says")
        array: Array = np.frombuffer(body, dtype, count, at).reshape(shape)
        outputs[name] = array if array.flags.aligned else array.copy()
        at += array.nbytes
    return Kept(outputs, head.made, head.expires, head.label)


class Sealer:
    """Encrypts files at rest: AES-256-GCM (NIST SP 800-38D) with a fresh nonce, bound to the entry's key."""

    def __init__(self, secret: bytes) -> None:
        """Take the 32 bytes of the device's key."""
        self._cipher = AESGCM(secret)
        self.name_key: bytes = blake3(secret, derive_key_context="tiers 2026 names of labels").digest()
        """For what stands in names of files."""

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, bound_to)

    def open(self, data: bytes, bound_to: bytes) -> bytes:
        """Decrypt.

        Raises:
            IntegrityError: it was sealed with another key, or for another entry, or it is damaged.
        """
        try:
            return self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError) as error:
            raise IntegrityError("a kept answer cannot be decrypted") from error


def read_secret(file: Path) -> bytes:
    """Read a key for `Sealer`: 32 bytes that nobody else may read.

    Raises:
        IntegrityError: it cannot be read, others may read it, or it has another length.
    """
    hint = f"head -c {_KEY_BYTES} /dev/urandom > {file}; chmod 600 {file}"
    try:
        with file.open("rb") as stream:
            mode, secret = os.fstat(stream.fileno()).st_mode, stream.read(_KEY_BYTES + 1)
    except OSError as error:
        raise IntegrityError(f"key {file} cannot be read: {error.strerror}", hint=hint) from error
    if mode & 0o077:
        raise IntegrityError(f"key {file} can be read by others", hint=f"chmod 600 {file}")
    if len(secret) != _KEY_BYTES:
        raise IntegrityError(f"key {file} does not have {_KEY_BYTES} bytes", hint=hint)
    return secret
