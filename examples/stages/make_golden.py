# ruff: noqa: INP001 - a script by itself
"""Make golden examples of a model with stages out of those without: pictures become PNG files, as clients send them.

    python examples/stages/make_golden.py examples/models/digits/v1.golden.npz golden.npz --picture 3.png --label 3

Values of the scanned digits are 0, 1/16, …, 1, which are grey values 0, 15, …, 240; `normalise` in digits.json divides
by 240 again. What the model should answer stays what it answered: the stages after it only say it shorter.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image


def png_of(picture: np.ndarray, times: int = 8) -> bytes:
    """Write a picture of values 0 to 1 as a PNG, each pixel so many pixels wide and high."""
    grey = np.rint(picture * 240).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def golden_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give the arrays of the new golden file: files side by side, filled up to the longest, and their lengths."""
    files = [png_of(picture[0]) for picture in arrays["input.image"]]
    lengths = np.array([len(file) for file in files])
    wide = np.zeros((len(files), lengths.max()), np.uint8)
    for row, file in zip(wide, files, strict=True):
        row[: len(file)] = np.frombuffer(file, np.uint8)
    logits = arrays["output.logits"].astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return {
        "input.image": wide,
        "length.input.image": lengths,
        "output.shares": (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
        "output.digit": logits.argmax(axis=1),
    }


def main() -> None:
    """Read the options, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--picture", type=Path, help="also write one example as a PNG")
    parser.add_argument("--label", type=int, default=3, help="of which digit")
    options = parser.parse_args()
    with np.load(options.golden) as archive:
        arrays = dict(archive)
    np.savez_compressed(options.output, **golden_of(arrays))
    if options.picture:
        first = int(np.flatnonzero(arrays["labels"] == options.label)[0])
        options.picture.write_bytes(png_of(arrays["input.image"][first][0]))


if __name__ == "__main__":
    main()
