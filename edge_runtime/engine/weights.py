"""A model's files of weights: which they are, how large, and how to have them in memory before the engine asks.

A large model keeps its weights in files beside the ONNX file ("external data"). Engines open them one after the other
in the middle of loading; `read_ahead` reads all of them before, side by side, so that a disk with a deep queue (NVMe,
a network disk) is used as it can be, and says how far it is. The engine then finds the bytes in the page cache. On a
machine with less free memory than weights this would only read twice, so there it does nothing.
Used by both engines before they load, and by the plan's key, which must change when a file beside the model does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from edge_runtime.engine.onnx_file import check_external_data
from edge_runtime.facts import free_memory as available_memory
from toolkit.errors import EngineError

BLOCK: Final = 4 * 1024 * 1024
READERS: Final = 4
SMALL: Final = 16 * 1024 * 1024
"""Below this the engine reads as fast by itself."""


def weight_files(model_file: Path) -> tuple[Path, ...]:
    """Give the model file and the files of weights that it names, each once, in a fixed order.

    Raises:
        EngineError: the model cannot be read, or names a file outside its folder or one that is not there.
    """
    files = [model_file]
    for location in check_external_data(model_file):
        file = model_file.parent / location
        if not file.is_file():
            raise EngineError(
                f"{model_file}: its weights are in {location!r}, which is not there",
                hint="push the model again with all files of its folder",
            )
        if file not in files:
            files.append(file)
    return tuple(files)


def weight_bytes(model_file: Path) -> int:
    """Give the bytes of all files of a model.

    Raises:
        EngineError: see `weight_files`.
    """
    return sum(file.stat().st_size for file in weight_files(model_file))


def read_ahead(
    model_file: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    free_memory: int | None = None,
    small: int = SMALL,
) -> int:
    """Read all files of a model into the page cache, several at once; give how many bytes were read.

    Args:
        model_file: the ONNX file.
        progress: told (bytes so far, bytes in all) from the threads that read, never from two at once.
        free_memory: bytes that are free; None asks the kernel.
        small: models with fewer bytes in all, or with a single file, are left to the engine.

    Raises:
        EngineError: see `weight_files`, or a file cannot be read.
    """
    files = weight_files(model_file)
    total = sum(file.stat().st_size for file in files)
    free = available_memory() if free_memory is None else free_memory
    if len(files) == 1 or total < small or total > free:
        return 0
    done = 0
    turn = threading.Lock()

    def read(file: Path) -> None:
        nonlocal done
        block = bytearray(BLOCK)
        with file.open("rb", buffering=0) as stream:
            while count := stream.readinto(block):
                with turn:
                    done += count
                    if progress is not None:
                        progress(done, total)

    try:
        with ThreadPoolExecutor(min(READERS, len(files)), "weights") as readers:
            for reading in [readers.submit(read, file) for file in files]:
                reading.result()
    except OSError as exc:
        raise EngineError(f"{model_file}: its weights cannot be read: {exc}") from exc
    return done
