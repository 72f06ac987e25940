"""tiers.lock: which digest each image had when it was pinned. Images without a row keep their tag.

Read before rendering. JSON `{"format": 1, "images": {"registry.example/tiers-edge:1.0": "sha256:…"}}`, beside the
first tiers.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from toolkit.errors import RenderError
from toolkit.wire.learnt import learn

LOCK_FILE = "tiers.lock"
LARGEST_LOCK = 1024 * 1024
"""Bytes; a row is below 300."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Image → digest."""

    format: int = 1
    images: Mapping[str, str] = {}

    def pinned(self, image: str) -> str:
        """Give the image with its digest, when there is one and the image does not carry one already."""
        digest = self.images.get(image)
        return image if digest is None or "@" in image else f"{image}@{digest}"


def read_lock(path: Path) -> Lock:
    """Read tiers.lock; a missing file is an empty lock.

    Raises:
        RenderError: the file cannot be read, is no lock, or a digest is not one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Lock()
    except OSError as exc:
        raise RenderError(
            f"cannot read {path}: {exc.strerror}", hint=f"remove {path} or mend its rights"
        ) from exc
    if len(data) > LARGEST_LOCK:
        raise RenderError(f"{path} is larger than {LARGEST_LOCK} bytes", hint=f"remove {path} and pin again")
    return parse_lock(data, str(path))


def parse_lock(data: bytes, what: str) -> Lock:
    """Read the bytes of a lock. Raises RenderError that names `what` and the row."""
    try:
        lock = msgspec.json.decode(data, type=learn(Lock))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RenderError(f"{what} is no lock of images: {exc}", hint=f"remove {what} and pin again") from exc
    if lock.format != 1:
        raise RenderError(
            f"{what} has format {lock.format}; this version reads 1", hint="update tiers on this machine"
        )
    for image, digest in lock.images.items():
        if not _DIGEST.fullmatch(digest):
            raise RenderError(
                f"{what}: the digest of {image[:200]!r} is not sha256 and 64 hexadecimal characters"
            )
    return lock
