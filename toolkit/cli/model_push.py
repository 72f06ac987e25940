"""`tiers model push FILE`: store an ONNX model with its golden examples as a signed artifact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.needs import GpuOption, L4tOption, MemoryOption, TensorrtOption, requires_of
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.registry import RegistryOption, open_registry, registry_url
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

ModelArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The model, an ONNX file.")]
GoldenOption = Annotated[
    Path, typer.Option("--golden", help="NumPy .npz with input.NAME, output.NAME and maybe labels.")
]
KeyOption = Annotated[Path, typer.Option("--key", help="The registry's private key.")]
ToleranceOption = Annotated[
    float,
    typer.Option("--tolerance", min=0, help="Allowed error on the golden outputs, absolute and relative."),
]
AccuracyOption = Annotated[
    float, typer.Option("--min-accuracy", min=0, max=1, help="Share of the golden labels that must be hit.")
]
MetricOption = Annotated[
    list[str],
    typer.Option("--metric", metavar="NAME=NUMBER", help="A measured figure to keep.", show_default=False),
]
NONE_GIVEN: list[str] = []


def push(
    model: ModelArgument,
    golden: GoldenOption,
    name: Annotated[str, typer.Option("--name", help="Name of the model.")],
    version: Annotated[str, typer.Option("--version", help="A version; it never changes.")],
    key: KeyOption,
    tolerance: ToleranceOption = 1e-3,
    min_accuracy: AccuracyOption = 0.0,
    parent: Annotated[str, typer.Option("--parent", help="What it was made from, NAME@VERSION.")] = "",
    metrics: MetricOption = NONE_GIVEN,
    floor: Annotated[int, typer.Option("--floor", min=0, help="Lowest counter still allowed after it.")] = 0,
    l4t: L4tOption = "",
    tensorrt: TensorrtOption = "",
    gpus: GpuOption = NONE_GIVEN,
    memory: MemoryOption = "",
    allow_newer_onnx: Annotated[
        bool, typer.Option("--allow-newer-onnx", help="Take an ONNX newer than JetPack 6 loads.")
    ] = False,
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Store a model in the registry; only chunks that it lacks are added. Repeating it changes nothing."""
    from toolkit.registry.keys import read_key
    from toolkit.registry.push import PushRequest
    from toolkit.registry.push import push as push_model
    from toolkit.wire.manifest import Lineage

    lineage = Lineage(parent=parent, made_by="tiers model push", metrics=_numbers(metrics))
    request = PushRequest(
        model, golden, name, version, tolerance, tolerance, min_accuracy, floor,
        requires=requires_of(l4t, tensorrt, gpus, memory), lineage=lineage, allow_newer_onnx=allow_newer_onnx,
    )  # fmt: skip
    private = read_key(key)
    result = push_model(
        open_registry(registry_url(registry, files, assignments), create=True), request, private
    )
    value = asdict(result) | {"delta_share": result.delta_share}
    rows = [(each.replace("_", " "), value[each]) for each in value if each not in {"name", "version"}]
    show(value, Table(("model", f"{name}@{version}"), rows), output, as_json=as_json)


def _numbers(metrics: list[str]) -> dict[str, float]:
    from toolkit.errors import UsageError

    found: dict[str, float] = {}
    for metric in metrics:
        name, _, number = metric.partition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise UsageError(
                f"--metric {metric} is not NAME=NUMBER", hint="--metric accuracy=0.985"
            ) from error
    return found
