"""decode-dicom@1: the bytes of a DICOM file -> one grey frame, as a screen shows it or in the file's own unit.

The only file of the device that imports pydicom, which the extra `dicom` brings. Of the file only what is needed for
the pixels is read, and nothing of it stands in an error: a name or a number there may be a patient's.

Taken are the transfer syntaxes whose pixels lie as they are, and RLE; the formulas are of DICOM PS3.3, C.11.1 (rescale)
and C.11.2.1.2 (window). Limits are checked before pixels are unpacked; a deflated file is refused as it is.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import config as pydicom_config
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from edge_runtime.engine.base import Array
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import DecodeDicom

SYNTAXES: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)
GREY: Final = ("MONOCHROME1", "MONOCHROME2")
NEEDED: Final = [
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData", "DoubleFloatPixelData"),
    *(
        "RescaleSlope",
        "RescaleIntercept",
        "WindowCenter",
        "WindowWidth",
        "VOILUTFunction",
        "ModalityLUTSequence",
    ),
]
WHITE: Final = 255.0

pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE  # its warnings quote values


def decode_dicom(params: DecodeDicom, data: Array) -> Array:
    """Unpack one frame.

    Raises:
        StageRefusal: it is no DICOM file, is damaged, of a kind that is not taken, too large, or has no such frame.
    """
    try:
        return _decode(params, data.tobytes())
    except StageRefusal:
        raise
    except Exception as error:  # pydicom's errors have no class of their own, and quote the file
        raise StageRefusal("a DICOM file that is damaged or lacks what its pixels need") from error


def _decode(params: DecodeDicom, data: bytes) -> Array:
    syntax = _syntax(data)
    if syntax not in SYNTAXES:
        taken = ", ".join(each.name for each in SYNTAXES)
        name = syntax.name if syntax.is_transfer_syntax else "of no known name"
        raise StageRefusal(f"a DICOM file of transfer syntax {name}; taken are {taken}")
    header = pydicom.dcmread(io.BytesIO(data), specific_tags=NEEDED)
    _check(params, header)
    stored: Array = pixel_array(header, index=params.frame, raw=True)
    unit: npt.NDArray[np.float32] = stored.astype(np.float32) * np.float32(
        _number(header, "RescaleSlope", 1.0)
    )
    unit += np.float32(_number(header, "RescaleIntercept", 0.0))
    if params.values == "rescaled":
        return unit[:, :, None]
    shown = _windowed(unit, *_window(params, header))
    if header.PhotometricInterpretation == "MONOCHROME1":
        shown = WHITE - shown
    return np.rint(shown).astype(np.uint8)[:, :, None]


def _syntax(data: bytes) -> UID:
    """Read the file's meta information, which is never deflated, and no further."""
    stream = io.BytesIO(data)
    if data[128:132] != b"DICM":
        raise StageRefusal("no DICOM file (it has no DICM after 128 bytes)")
    read_preamble(stream, force=False)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2,  # noqa: PLR2004
    )
    return UID(meta.TransferSyntaxUID)


def _check(params: DecodeDicom, header: pydicom.Dataset) -> None:
    kind = str(header.PhotometricInterpretation)
    if kind not in GREY or int(header.SamplesPerPixel) != 1:
        raise StageRefusal(f"a DICOM file of colours other than {' and '.join(GREY)}")
    if "PixelData" not in header or "ModalityLUTSequence" in header:
        raise StageRefusal("a DICOM file with pixels of floats, with a table for them, or without pixels")
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns > params.most_pixels:
        raise StageRefusal(f"a frame of {columns} × {rows}; at most {params.most_pixels} pixels are taken")
    frames = int(header.get("NumberOfFrames") or 1)
    if params.frame >= frames:
        raise StageRefusal(f"a DICOM file of {frames} frames, and frame {params.frame} (from 0) is asked for")


def _window(params: DecodeDicom, header: pydicom.Dataset) -> tuple[float, float]:
    """Give centre and width: those asked for, the file's first ones, or all that its bits can say."""
    if params.window:
        return params.window[0], params.window[1]
    if "WindowCenter" in header and "WindowWidth" in header:
        if header.get("VOILUTFunction", "LINEAR") != "LINEAR":
            raise StageRefusal(
                "a DICOM file whose window is not LINEAR; give `window`, or take values: rescaled"
            )
        width = _number(header, "WindowWidth", 1.0)
        if width < 1:
            raise StageRefusal("a DICOM file whose window has a width below 1")
        return _number(header, "WindowCenter", 0.0), width
    bits = int(header.BitsStored)
    low = -(1 << (bits - 1)) if int(header.PixelRepresentation) else 0
    slope, intercept = _number(header, "RescaleSlope", 1.0), _number(header, "RescaleIntercept", 0.0)
    ends = sorted((low * slope + intercept, (low + (1 << bits) - 1) * slope + intercept))
    width = ends[1] - ends[0] + 1
    return ends[0] + width / 2, width


def _windowed(unit: npt.NDArray[np.float32], centre: float, width: float) -> npt.NDArray[np.float32]:
    """Lay the window over 0 to 255: PS3.3 C.11.2.1.2.1, function LINEAR."""
    if width == 1:
        step: npt.NDArray[np.float32] = np.where(unit <= centre - 0.5, np.float32(0), np.float32(WHITE))
        return step
    share = (unit - np.float32(centre - 0.5)) / np.float32(width - 1) + np.float32(0.5)
    shown: npt.NDArray[np.float32] = np.clip(share, 0, 1) * np.float32(WHITE)
    return shown


def _number(header: pydicom.Dataset, name: str, otherwise: float) -> float:
    """Read a number; of several, the first."""
    value = header.get(name)
    if value is None or value == "":
        return otherwise
    number = float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
    if not np.isfinite(number):
        raise StageRefusal("a DICOM file with a number that is none")
    return number
