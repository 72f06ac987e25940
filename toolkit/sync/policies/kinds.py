"""What kind of thing a file is, by where it lies and how it is called. Pure; a policy may replace a kind's patterns.

Rules with `kind:` ask here. The first kind in the order of KINDS that has a fitting pattern counts, so a file in
checkpoints/ is a checkpoint whatever its ending.
"""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.sync.policies.patterns import fits_one
from toolkit.sync.policies.policy import Kind

KINDS: Mapping[Kind, tuple[str, ...]] = {
    "checkpoint": ("checkpoints/**", "**/checkpoints/**", "*.ckpt", "*.pt", "*.pth", "*.safetensors", "*.distcp"),
    "dataset": ("datasets/**", "**/datasets/**", "*.parquet", "*.arrow", "*.tfrecord", "*.h5", "*.hdf5", "*.zarr"),
    "model": ("models/**", "**/models/**", "*.onnx", "*.plan", "*.engine"),
    "archive": ("archives/**", "**/archives/**", "*.tar", "*.tar.*", "*.tgz", "*.zip", "*.7z", "*.zst"),
    "image": ("*.dcm", "*.dicom", "*.nii", "*.nii.gz", "*.nrrd", "*.png", "*.jpg", "*.jpeg", "*.tif", "*.tiff"),
}  # fmt: skip
"""Patterns of each kind; the endings of archives come before those of images, whose containers are named apart."""


def kind_of(path: bytes, own: Mapping[str, tuple[str, ...]]) -> Kind | None:
    """Give the kind of a file, or None.

    Args:
        path: below its storage.
        own: kinds whose patterns a policy has replaced.

    Raises:
        IntegrityError: a pattern cannot be read.
    """
    for kind, patterns in KINDS.items():
        if fits_one(own.get(kind, patterns), path):
            return kind
    return None
