"""The file of `tiers model push --stages FILE`: what is done before and after the engine, as JSON.

    {"pre": [{"name": "decode-image", "of": ["image"], "params": {"channels": 1}}, …], "post": […]}

The same words go into the manifest (`wire.stages`), so what was written is what is signed. Before `push`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from toolkit.errors import IntegrityError, RegistryError
from toolkit.protocol.stages import read_stages
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.learnt import learn
from toolkit.wire.stages import Stages


def read_stages_file(file: Path) -> Stages:
    """Read stages, and check that each is known and its params are right.

    Raises:
        RegistryError: the file cannot be read.
        IntegrityError: it is not JSON, a key is unknown, or a stage is.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise IntegrityError(f"{file} has more than {MAX_DOCUMENT_BYTES} bytes")
    try:
        stages = msgspec.json.decode(data, type=learn(Stages))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(
            f"{file}: {error}", hint='write {"pre": [{"name": …, "of": […], "params": {…}}], "post": […]}'
        ) from error
    read_stages(stages, str(file))
    return stages
