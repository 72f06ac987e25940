"""Each kind of stage: its number, its params with their limits, and what tensors it makes of which. Pure.

`stages` reads a manifest's stages with it, at a push and on a device; `edge_runtime.serving.stages` has for each kind
here the function that computes. What a kind does never changes under its number; a change gets the next one.

Images on their way through the stages are height × width × channels, one image a request, until `normalise` gives
them the layout and the axis of rows that a model wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec

from toolkit.errors import IntegrityError

MOST_SIDE: Final = 1 << 14
"""Pixels of one side that `resize` gives."""
FLOATS: Final = ("float16", "float32", "float64")
IMAGES: Final = ("uint8", "float32")

Pixels = Annotated[int, msgspec.Meta(ge=1, le=1 << 26)]
"""Of one picture; 64 million of three bytes and their float32 are a gigabyte."""
Side = Annotated[int, msgspec.Meta(ge=1, le=MOST_SIDE)]
PerChannel = Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=4)]
Axis = Annotated[int, msgspec.Meta(ge=1, le=15)]
"""Never 0: that is the rows, which know nothing of each other."""
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


@dataclass(frozen=True)
class Form:
    """Element type, as NumPy names it, and shape of a tensor; None is an axis of any length."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """Write it for people: `float32[?, 1, 8, 8]`."""
        return f"{self.dtype}[{', '.join('?' if axis is None else str(axis) for axis in self.shape)}]"


Forms: TypeAlias = "tuple[Form, ...]"
BYTES: Final = Form("uint8", (None,))
"""A file: its bytes, one after the other."""


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Params of one kind of stage."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    TAKES: ClassVar[int] = 1
    """Tensors that it takes."""
    GIVES: ClassVar[int] = 1
    PACKAGE: ClassVar[str] = ""
    """Python package that a device needs for it, beside those that it has anyway."""
    EXTRA: ClassVar[str] = ""
    """Extra of tiers that brings the package."""

    def first(self) -> Form | None:
        """Say what a client sends where no stage comes before it; None where it cannot come first."""
        return None

    def check(self) -> None:
        """Check what cannot be said of one param alone.

        Raises:
            IntegrityError: two params contradict each other.
        """

    def fit(self, forms: Forms) -> Forms:
        """Say what it gives for what it gets; this one, and some others, the same.

        Raises:
            IntegrityError: it cannot take that; the message says what it takes.
        """
        return forms


class DecodeImage(Kind, frozen=True, kw_only=True):
    """The bytes of a PNG or JPEG -> the picture."""

    NAME = "decode-image"
    PACKAGE, EXTRA = "PIL", "edge"
    channels: Literal[1, 3] = 3
    """1 is grey, 3 is red, green, blue; what the file has is converted."""
    most_pixels: Pixels = 1 << 25

    def first(self) -> Form:
        """Take a file."""
        return BYTES

    def fit(self, forms: Forms) -> Forms:
        """Give a picture of any size."""
        _want(forms[0] == BYTES, forms[0], f"the bytes of a file, {BYTES}")
        return (Form("uint8", (None, None, self.channels)),)


class DecodeDicom(Kind, frozen=True, kw_only=True):
    """The bytes of a DICOM file -> one frame of it, grey."""

    NAME = "decode-dicom"
    PACKAGE, EXTRA = "pydicom", "dicom"
    frame: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 0
    values: Literal["windowed", "rescaled"] = "windowed"
    """Windowed: 0 to 255 as a screen shows it. Rescaled: in the file's own unit, such as Hounsfield."""
    window: Annotated[tuple[float, ...], msgspec.Meta(max_length=2)] = ()
    """Centre and width in that unit; empty takes the file's own, and without one all that its bits can say."""
    most_pixels: Pixels = 1 << 25

    def first(self) -> Form:
        """Take a file."""
        return BYTES

    def check(self) -> None:
        """Check the window."""
        if self.window and (len(self.window) != 2 or self.window[1] < 1):  # noqa: PLR2004
            raise IntegrityError(
                f"window is {list(self.window)}", hint="write [CENTRE, WIDTH], a width of 1 on"
            )

    def fit(self, forms: Forms) -> Forms:
        """Give a grey picture of any size."""
        _want(forms[0] == BYTES, forms[0], f"the bytes of a file, {BYTES}")
        return (Form("uint8" if self.values == "windowed" else "float32", (None, None, 1)),)


class Picture(Kind, frozen=True, kw_only=True):
    """A picture that a client has unpacked itself, height × width × channels: says what it looks like."""

    NAME = "picture"
    height: Annotated[int, msgspec.Meta(ge=0, le=MOST_SIDE)] = 0
    width: Annotated[int, msgspec.Meta(ge=0, le=MOST_SIDE)] = 0
    """0 is any."""
    channels: Literal[1, 3] = 3
    dtype: Literal["uint8", "float32"] = "uint8"

    def first(self) -> Form:
        """Take a picture."""
        return Form(self.dtype, (self.height or None, self.width or None, self.channels))

    def fit(self, forms: Forms) -> Forms:
        """Give it on."""
        _want(forms[0] == self.first(), forms[0], f"a picture, {self.first()}")
        return forms


class Resize(Kind, frozen=True, kw_only=True):
    """A picture -> the same picture of another size."""

    NAME = "resize"
    height: Side
    width: Side
    method: Literal["bilinear", "nearest"] = "bilinear"
    letterbox: bool = False
    """Keep its proportions, in the middle of a field of `fill`."""
    fill: float = 0.0

    def fit(self, forms: Forms) -> Forms:
        """Give a picture of the size that is asked for."""
        _want_picture(forms[0])
        return (Form(forms[0].dtype, (self.height, self.width, forms[0].shape[2])),)


class Normalise(Kind, frozen=True, kw_only=True):
    """A picture -> what a model takes: (picture × scale - mean) / std, in its layout, with an axis of one row."""

    NAME = "normalise"
    scale: float = 1.0
    mean: PerChannel = (0.0,)
    std: PerChannel = (1.0,)
    """Each for all channels, or one number a channel."""
    layout: Literal["chw", "hwc"] = "chw"
    dtype: Literal["float32", "float16", "uint8"] = "float32"

    def check(self) -> None:
        """Check that nothing is divided by 0, and that bytes stay what they are."""
        if not all(self.std):
            raise IntegrityError(f"std is {list(self.std)}", hint="write no 0 there: it is divided by")
        changed = (self.scale, self.mean, self.std) != (1.0, (0.0,), (1.0,))
        if self.dtype == "uint8" and changed:
            raise IntegrityError(
                "dtype uint8 takes no scale, mean or std", hint="use float32, or leave them out"
            )

    def fit(self, forms: Forms) -> Forms:
        """Give one row of the model's layout."""
        _want_picture(forms[0])
        height, width, channels = forms[0].shape
        if self.dtype == "uint8":
            _want(forms[0].dtype == "uint8", forms[0], "a picture of uint8 where dtype is uint8")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in {1, channels}:
                raise IntegrityError(
                    f"{name} has {len(numbers)} numbers for a picture of {channels or 'any number of'} channels",
                    hint="write one number, or one a channel after a stage that says how many there are",
                )
        ordered = (channels, height, width) if self.layout == "chw" else (height, width, channels)
        return (Form(self.dtype, (1, *ordered)),)


class Softmax(Kind, frozen=True, kw_only=True):
    """Scores -> shares that are above 0 and sum up to 1."""

    NAME = "softmax"
    axis: Axis = 1

    def fit(self, forms: Forms) -> Forms:
        """Give the same form."""
        _want(
            forms[0].dtype in FLOATS and len(forms[0].shape) > self.axis,
            forms[0],
            f"floats with an axis {self.axis}",
        )
        return forms


class Argmax(Kind, frozen=True, kw_only=True):
    """Scores -> the number of the highest one; the first of equal ones."""

    NAME = "argmax"
    axis: Axis = 1

    def fit(self, forms: Forms) -> Forms:
        """Leave the axis out."""
        shape = forms[0].shape
        _want(
            forms[0].dtype != "bool" and len(shape) > self.axis, forms[0], f"numbers with an axis {self.axis}"
        )
        _want(shape[self.axis] != 0, forms[0], f"at least one number along axis {self.axis}")
        return (Form("int64", (*shape[: self.axis], *shape[self.axis + 1 :])),)


class MaskToRle(Kind, frozen=True, kw_only=True):
    """Masks of rows × height × width -> lengths of runs, as COCO counts them: down the columns, zeros first."""

    NAME = "mask-to-rle"
    value: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] | None = None
    """The class that is wanted; None takes all but 0."""

    def fit(self, forms: Forms) -> Forms:
        """Give as many numbers as there are runs; those of one mask sum up to height × width."""
        numbers = forms[0].dtype == "bool" or "int" in forms[0].dtype
        _want(numbers and len(forms[0].shape) == 3, forms[0], "whole numbers, rows × height × width")  # noqa: PLR2004
        return (Form("uint32", (None,)),)


class Nms(Kind, frozen=True, kw_only=True):
    """Boxes (rows × N × 4) and scores (rows × classes × N) -> the best boxes without their doubles, class by class.

    Gives boxes (rows × most × 4), scores (rows × most) and classes (rows × most), highest score first; where there are
    fewer, the rest has score 0 and class -1.
    """

    NAME = "nms"
    TAKES, GIVES = 2, 3
    score: Share = 0.25
    """Boxes below that score are left out."""
    overlap: Share = 0.5
    """Intersection over union from which on a box is the double of a better one."""
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    candidates: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """Boxes of one class that are looked at, the best first; bounds the time."""
    form: Literal["corners", "centre"] = "corners"
    """x1 y1 x2 y2, or the centre's x and y, width and height; corners are given."""

    def fit(self, forms: Forms) -> Forms:
        """Give tensors of fixed size."""
        boxes, scores = forms
        _want(boxes.dtype == scores.dtype == "float32", boxes, "boxes and scores of float32")
        _want(len(boxes.shape) == 3 and boxes.shape[2] == 4, boxes, "boxes, rows × N × 4")  # noqa: PLR2004
        _want(len(scores.shape) == 3, scores, "scores, rows × classes × N")  # noqa: PLR2004
        same = None in {boxes.shape[1], scores.shape[2]} or boxes.shape[1] == scores.shape[2]
        _want(same, scores, f"as many scores as boxes, which are {boxes}")
        rows = boxes.shape[0]
        return (
            Form("float32", (rows, self.most, 4)),
            Form("float32", (rows, self.most)),
            Form("int64", (rows, self.most)),
        )


KINDS: Final[dict[str, type[Kind]]] = {
    kind.NAME: kind
    for kind in (DecodeImage, DecodeDicom, Picture, Resize, Normalise, Softmax, Argmax, MaskToRle, Nms)
}
"""Name -> its newest version, the only one so far."""


def _want_picture(form: Form) -> None:
    fits = form.dtype in IMAGES and len(form.shape) == 3  # noqa: PLR2004
    _want(fits, form, "a picture, height × width × channels of uint8 or float32")


def _want(fits: bool, form: Form, wanted: str) -> None:  # noqa: FBT001 - reads like a sentence
    if not fits:
        raise IntegrityError(f"it takes {wanted}, and gets {form}")
