"""decode-image@1: the bytes of a PNG or JPEG -> height × width × channels of uint8. The only file that imports Pillow.

The size that a file claims is checked before its pixels are unpacked. What the picture says of its own rotation (EXIF)
and of transparency is left out; a palette and other colour spaces are converted by Pillow.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from edge_runtime.engine.base import Array
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import DecodeImage

FORMATS: Final = ("PNG", "JPEG")
MODES: Final = {1: "L", 3: "RGB"}
EIGHT_BITS: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's names of what has at most 8 bits a channel."""


def decode_image(params: DecodeImage, data: Array) -> Array:
    """Unpack a picture.

    Raises:
        StageRefusal: it is neither PNG nor JPEG, is cut off or damaged, too large, or has more than 8 bits a channel.
    """
    try:
        with Image.open(io.BytesIO(data.tobytes()), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > params.most_pixels:
                raise StageRefusal(
                    f"a picture of {width} × {height}; at most {params.most_pixels} pixels are taken"
                )
            if picture.mode not in EIGHT_BITS:
                raise StageRefusal("a picture of more than 8 bits a channel; save it with 8 bits")
            return np.asarray(picture.convert(MODES[params.channels])).reshape(height, width, params.channels)
    except UnidentifiedImageError as error:
        raise StageRefusal("neither a PNG nor a JPEG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise StageRefusal(f"a picture of too many pixels; at most {params.most_pixels} are taken") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        OverflowError,
    ) as error:  # Pillow's, by format
        raise StageRefusal("a picture that is damaged or cut off") from error
