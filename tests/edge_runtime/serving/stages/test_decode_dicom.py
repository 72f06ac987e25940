"""One frame out of DICOM files that pydicom wrote, against pydicom's own arithmetic; everything else is refused."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_rescale, apply_windowing
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from edge_runtime.serving.stages.decode_dicom import decode_dicom
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import DecodeDicom

STORED = np.random.default_rng(4).integers(0, 4096, (3, 7, 5)).astype(np.uint16)
"""Three frames of 12 bits."""
WINDOW = DecodeDicom(window=(600.0, 900.0))
NAME = "Doe^Jane"


def dataset(**changes: object) -> Dataset:
    given = Dataset()
    given.SOPClassUID, given.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    given.PatientName = NAME
    given.Rows, given.Columns, given.NumberOfFrames = 7, 5, 3
    given.SamplesPerPixel, given.PhotometricInterpretation = 1, "MONOCHROME2"
    given.BitsAllocated, given.BitsStored, given.HighBit, given.PixelRepresentation = 16, 12, 11, 0
    given.RescaleSlope, given.RescaleIntercept = "0.5", "-100"
    given.PixelData = STORED.tobytes()
    given["PixelData"].VR = "OW"
    for name, value in changes.items():
        setattr(given, name, value)
    return given


def written(given: Dataset, syntax: str = ExplicitVRLittleEndian) -> np.ndarray:
    given.file_meta = FileMetaDataset()
    given.file_meta.TransferSyntaxUID = syntax
    if syntax == RLELossless:
        given.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        given.compress(RLELossless)
    if syntax == ExplicitVRBigEndian:
        given.PixelData = STORED.byteswap().tobytes()
    buffer = io.BytesIO()
    given.save_as(buffer, enforce_file_format=True)
    return np.frombuffer(buffer.getvalue(), np.uint8)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
@pytest.mark.parametrize("frame", [0, 2])
def test_each_syntax_gives_the_frame_in_the_files_own_unit(syntax, frame):
    ours = decode_dicom(DecodeDicom(values="rescaled", frame=frame), written(dataset(), syntax))
    assert (ours.dtype, ours.shape) == (np.float32, (7, 5, 1))
    np.testing.assert_allclose(ours[:, :, 0], apply_rescale(STORED[frame], dataset()))


@pytest.mark.parametrize("window", [(600.0, 900.0), (0.0, 1.0), (100.5, 2.0)])
@pytest.mark.parametrize("own", [False, True])
def test_a_window_is_laid_as_pydicom_lays_it(window, own):
    given = dataset(WindowCenter=[window[0], 1.0], WindowWidth=[window[1], 2.0])
    params = DecodeDicom(frame=1) if own else DecodeDicom(frame=1, window=window)
    ours = decode_dicom(params, written(given if own else dataset()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = apply_windowing(apply_rescale(STORED[1], given), given)
    low, high = np.array([0, 4095]) * 0.5 - 100
    np.testing.assert_allclose(ours[:, :, 0], (theirs - low) / (high - low) * 255, atol=0.51)
    assert ours.dtype == np.uint8


def test_what_is_white_in_monochrome1_is_black():
    straight = decode_dicom(WINDOW, written(dataset()))
    turned = decode_dicom(WINDOW, written(dataset(PhotometricInterpretation="MONOCHROME1")))
    np.testing.assert_allclose(turned.astype(int) + straight, 255, atol=1)


def test_without_any_window_all_that_the_bits_can_say_is_shown():
    plain = decode_dicom(DecodeDicom(), written(dataset()))[:, :, 0]
    np.testing.assert_array_equal(plain, np.rint(STORED[0] / 4095 * 255))
    signed = dataset(
        PixelRepresentation=1, BitsStored=16, HighBit=15, PixelData=(STORED.astype(np.int16) - 2000).tobytes()
    )
    shown = decode_dicom(DecodeDicom(), written(signed))[:, :, 0]
    np.testing.assert_allclose(shown, (STORED[0] - 2000.0 + 32768) / 65535 * 255, atol=0.51)


def without(name: str) -> Dataset:
    given = dataset()
    delattr(given, name)
    return given


def jpeg() -> np.ndarray:
    """A file that says its pixels are a JPEG; they are never looked at, for the syntax alone decides."""
    data = written(dataset()).tobytes()
    old, new = ExplicitVRLittleEndian.encode().ljust(20, b"\0"), JPEGBaseline8Bit.encode()
    length = int.from_bytes(data[140:144], "little") + 2  # of the group that the element is in
    data = data[:140] + length.to_bytes(4, "little") + data[144:]
    element = b"\x02\x00\x10\x00UI"
    return np.frombuffer(data.replace(element + b"\x14\x00" + old, element + b"\x16\x00" + new), np.uint8)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros(0, np.uint8), "no DICOM file"),
        (np.zeros(500, np.uint8), "no DICOM file"),
        (jpeg(), "transfer syntax JPEG Baseline .*; taken are Implicit VR Little Endian"),
        (
            written(dataset(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)),
            "colours",
        ),
        (written(dataset())[:600], "damaged or lacks|without pixels"),
        (written(dataset(PixelData=STORED[0].tobytes())), "damaged or lacks"),
        (written(without("Rows")), "damaged or lacks"),
        (written(dataset(Rows=60_000, Columns=60_000)), "a frame of 60000 × 60000; at most"),
        (written(dataset(NumberOfFrames=1)), "of 1 frames, and frame 2"),
        (written(dataset(WindowCenter=1, WindowWidth=0)), "a width below 1"),
        (written(dataset(WindowCenter=1, WindowWidth=9, VOILUTFunction="SIGMOID")), "not LINEAR"),
    ],
)
def test_what_is_not_taken_is_refused_without_a_word_of_the_file(data, says):
    with pytest.raises(StageRefusal, match=says) as refused:
        decode_dicom(DecodeDicom(frame=2), data)
    assert NAME not in str(refused.value)


def test_a_deflated_file_is_refused_before_it_is_inflated():
    given = dataset()
    given.file_meta = FileMetaDataset()
    given.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    given.save_as(buffer, enforce_file_format=True)
    with pytest.raises(StageRefusal, match="transfer syntax Deflated"):
        decode_dicom(WINDOW, np.frombuffer(buffer.getvalue()[:500], np.uint8))


WHOLE = written(dataset(), RLELossless)


@given(st.integers(132, WHOLE.size - 1), st.binary(min_size=1, max_size=8))
def test_damage_gives_a_frame_or_our_refusal(at, bytes_):
    data = WHOLE.copy()
    data[at : at + len(bytes_)] = np.frombuffer(bytes_, np.uint8)[: data.size - at]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = decode_dicom(DecodeDicom(window=(600.0, 900.0), most_pixels=10_000), data)
        except StageRefusal as refusal:
            said = str(refusal)
        else:
            said = str(frame.shape)
    assert NAME not in said
