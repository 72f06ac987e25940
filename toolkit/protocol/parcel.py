"""An object that travels in pieces over a link which loses, repeats and reorders: both ends of it. Pure.

`Sending` says which pieces go next, `Gathering` puts them together. The receiver's bitmap is the only truth; whoever
sends it again changes nothing. Used by `sync.remotes.link` and `fleet.inbox`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.errors import IntegrityError
from toolkit.protocol.bitmap import Bitmap
from toolkit.wire.digest import digest_of
from toolkit.wire.store_call import StoreCall, piece_count, piece_size

FIRST_BURST_BYTES = 1024 * 1024
LARGEST_BURST_BYTES = 8 * 1024 * 1024
"""Bytes on their way before an answer is waited for: at 200 ms round trip, 40 MB/s."""


@dataclass(frozen=True)
class Sending:
    """The sender's side."""

    total: int
    piece_bytes: int
    have: Bitmap
    """Pieces of which the receiver has told that they are there."""
    burst_bytes: int = FIRST_BURST_BYTES

    @classmethod
    def of(cls, total: int, piece_bytes: int) -> Sending:
        """Begin with an object of `total` bytes."""
        return cls(total, piece_bytes, Bitmap.empty(piece_count(total, piece_bytes)))

    def burst(self) -> tuple[int, ...]:
        """Give the pieces to send now, in order."""
        most = max(1, self.burst_bytes // self.piece_bytes)
        numbers: list[int] = []
        for number in self.have.missing():
            numbers.append(number)
            if len(numbers) >= most:
                break
        return tuple(numbers)

    def answered(self, have: Bitmap, sent: tuple[int, ...]) -> Sending:
        """Learn what is there after a burst: the next one is larger when all of it came, smaller when some was lost."""
        clean = all(number in have for number in sent)
        grown = self.burst_bytes * 2 if clean else self.burst_bytes // 2
        size = min(max(grown, self.piece_bytes), LARGEST_BURST_BYTES)
        return replace(self, have=have, burst_bytes=size)

    def silent(self) -> Sending:
        """Learn that no answer came."""
        return replace(self, burst_bytes=max(self.burst_bytes // 2, self.piece_bytes))

    def refused(self) -> Sending:
        """Learn that the receiver has no room for it and kept nothing."""
        return replace(self, have=Bitmap.empty(self.have.size))


class Gathering:
    """The receiver's side. Memory for `total` bytes is taken with the first piece."""

    def __init__(self, call: StoreCall) -> None:
        """Begin with what a call says of its object; the caller has looked at its size."""
        self.total, self.piece_bytes, self.digest = call.total, call.piece_bytes, call.digest
        self.have = Bitmap.empty(piece_count(call.total, call.piece_bytes))
        self._data: bytearray | None = None

    def take(self, call: StoreCall) -> None:
        """Take a piece in.

        Raises:
            IntegrityError: it speaks of another object.
        """
        if (call.total, call.piece_bytes, call.digest) != (self.total, self.piece_bytes, self.digest):
            raise IntegrityError("the pieces of one call speak of different objects")
        if call.piece in self.have:
            return
        if self._data is None:
            self._data = bytearray(self.total)
        start = call.piece * self.piece_bytes
        self._data[start : start + piece_size(self.total, self.piece_bytes, call.piece)] = call.data
        self.have = self.have.with_set((call.piece,))

    def whole(self) -> bytes:
        """Give the object, all pieces of which are here.

        Raises:
            IntegrityError: it is not what its digest says; all pieces are wanted again.
        """
        data = bytes(self._data or b"")
        if digest_of(data) != self.digest:
            self.have, self._data = Bitmap.empty(self.have.size), None
            raise IntegrityError("the object came damaged", hint="it is sent again")
        return data
