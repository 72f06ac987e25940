"""Write a recipe's held-out samples to a file that needs only numpy to read.

    python -m cloud_jobs.held_out --recipe digits FILE

For tests, demos and gates on machines without PyTorch. Flow: recipe -> Split -> `held_out_of` -> heldout.npz beside
the carried models.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np

from cloud_jobs.recipes import recipe_named
from toolkit.errors import TiersError
from toolkit.sync.whole import write_whole


def held_out_of(recipe: str) -> bytes:
    """Return the bytes of a .npz with arrays `images` and `labels`, plain and uncompressed. Equal input, equal bytes.

    Raises:
        UsageError: no recipe has that name.

    """
    split = recipe_named(recipe).data()
    buffer = io.BytesIO()
    arrays = {"images": split.held_out_samples.numpy(), "labels": split.held_out_truth.numpy()}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.held_out", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--recipe", required=True)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    try:
        asked.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(asked.file, held_out_of(asked.recipe))
    except TiersError as error:
        print(f"error: {error.message}\n  try: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
