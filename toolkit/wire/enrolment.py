"""What a device gets for its request: `tiers device enroll` writes it, `tiers-edge enroll --answer` takes it in.

It holds no secret. It says whom the device shall trust, so it has to come by a way that the device's people trust.
"""

from __future__ import annotations

from typing import ClassVar

from toolkit.wire.document import Document, decode_json
from toolkit.wire.keyring import Keyring, check_keyring
from toolkit.wire.topics import check_label


class EnrolmentAnswer(Document, frozen=True, kw_only=True):
    """One device's certificate, and whom it shall trust."""

    FORMAT: ClassVar[int] = 1
    site: str
    device: str
    host: str
    """Where the broker is, as tiers.yaml says; the device compares it with its configuration."""
    port: int
    certificate: str
    """PEM of the device's certificate."""
    broker_authority: str
    """PEM of whoever signs the broker's certificate; empty means the system's authorities."""
    keyring: Keyring
    """Whose seals the device obeys."""


def decode_answer(data: bytes, *, what: str) -> EnrolmentAnswer:
    """Read an answer.

    Raises:
        IntegrityError: it is none, or a name or a key in it cannot be used.
    """
    answer = decode_json(data, EnrolmentAnswer, what=what)
    check_label(answer.site, what=f"{what}: site")
    check_label(answer.device, what=f"{what}: device")
    check_keyring(answer.keyring, what=what)
    return answer
