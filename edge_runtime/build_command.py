"""What `tiers-edge build` does: make plans of models for this machine's TensorRT, before anybody waits for them.

Models are named by the device's configuration (those whose version serves, or waits to), or given as ONNX files. A plan
that is here already is left as it is; building again is harmless. `__main__` prints what this tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.config import Settings
from edge_runtime.engine.build import BuildSettings, Tools, UnsuitableModelError, ensure_plan
from edge_runtime.engine.builder import BuildLine
from edge_runtime.engine.plan import Plans
from edge_runtime.folders import Folders
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from toolkit.errors import TiersError, UsageError


@dataclass(frozen=True)
class Order:
    """A plan that is wanted."""

    model: str
    file: Path
    max_batch: int


def orders_of_files(files: Sequence[str], max_batch: int) -> list[Order]:
    """Order plans of ONNX files.

    Raises:
        UsageError: one of them is not there.
    """
    for file in files:
        if not Path(file).is_file():
            raise UsageError(
                f"{file} is not a file", hint="name ONNX files, or models together with --config FILE"
            )
    return [Order(file, Path(file), max_batch) for file in files]


def orders_of_device(settings: Settings, names: Sequence[str]) -> list[Order]:
    """Order plans of the versions that this device serves; no names means all its models.

    Raises:
        UsageError: a name is not one of the device's models, or nothing is installed of it yet.
        StoreError: the state folder cannot be read.
    """
    config = settings.config
    models = {model.name: model for model in config.models}
    for name in names:
        if name not in models:
            known = ", ".join(models) or "none"
            raise UsageError(f"{name!r} is not a model of this device", hint=f"its models are: {known}")
    folders = Folders(Path(config.state))
    found: list[Order] = []
    if folders.database.exists():
        store = Store(folders.database)
        try:
            shelf = Shelf(store, folders)
            for held in store.installations().values():
                if held.model not in models or held.withdrawn or (names and held.model not in names):
                    continue
                for good in held.good[:1]:
                    file = folders.version(good.artifact) / shelf.manifest(good.artifact).model_file
                    found.append(Order(held.model, file, models[held.model].max_batch))
        finally:
            store.close()
    missing = set(names) - {order.model for order in found}
    if missing:
        raise UsageError(
            f"nothing of {', '.join(sorted(missing))} is installed on this device yet",
            hint="tiers-edge status says where its installation stands",
        )
    return found


def build_plans(
    tools: Tools,
    orders: Sequence[Order],
    folder: Path,
    tell: Callable[[BuildLine], None],
    *,
    seconds: float,
) -> Iterator[tuple[BuildLine, TiersError | None]]:
    """Make the plans one after the other; a model that fails does not keep the next one from its plan.

    Args:
        tools: TensorRT and the GPU.
        orders: what is wanted.
        folder: where plans are kept.
        tell: gets each step.
        seconds: longest time of one plan.

    Yields:
        For each order its last line, and the error when it failed.
    """
    for order in orders:

        def step(phase: str, done: int, steps: int, model: str = order.model) -> None:
            tell(BuildLine(model=model, phase=phase, done=done, steps=steps))

        settings = BuildSettings(max_batch=order.max_batch)
        try:
            built = ensure_plan(tools, order.file, settings, Plans(folder), tell=step, seconds=seconds)
        except TiersError as error:
            unsuitable = isinstance(error, UnsuitableModelError)
            line = BuildLine(model=order.model, error=error.message, hint=error.hint, unsuitable=unsuitable)
            yield line, error
        else:
            header = built.header
            yield (
                BuildLine(
                    model=order.model,
                    plan=str(built.file),
                    fresh=built.fresh,
                    buckets=header.buckets,
                    bytes=header.plan_bytes,
                    seconds=header.seconds,
                ),
                None,
            )
