"""`tiers model push FILE`: store an ONNX model with its golden examples as a signed artifact."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.needs import GpuOption, L4tOption, MemoryOption, P95Option, TensorrtOption, requires_of
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, progress, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

if TYPE_CHECKING:
    from toolkit.registry.patches import Shipment

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
StagesOption = Annotated[
    Path | None,
    typer.Option("--stages", metavar="FILE", help="JSON of what is done before and after the engine."),
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
    p95: P95Option = "",
    stages: StagesOption = None,
    allow_newer_onnx: Annotated[
        bool, typer.Option("--allow-newer-onnx", help="Take an ONNX newer than JetPack 6 loads.")
    ] = False,
    patches: Annotated[
        bool,
        typer.Option(
            "--patches/--no-patches", help="Make patches from the last two versions where that pays."
        ),
    ] = True,
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Store a model in the registry; only chunks that it lacks are added. Repeating it changes nothing."""
    from toolkit.registry.keys import read_key
    from toolkit.registry.patches import PatchRules
    from toolkit.registry.push import PushRequest
    from toolkit.registry.push import push as push_model
    from toolkit.registry.stages_file import read_stages_file
    from toolkit.wire.manifest import Lineage
    from toolkit.wire.stages import NO_STAGES

    lineage = Lineage(parent=parent, made_by="tiers model push", metrics=_numbers(metrics))
    request = PushRequest(
        model, golden, name, version, tolerance, tolerance, min_accuracy, floor,
        requires=requires_of(l4t, tensorrt, gpus, memory, p95), lineage=lineage,
        allow_newer_onnx=allow_newer_onnx, stages=read_stages_file(stages) if stages is not None else NO_STAGES,
    )  # fmt: skip
    private = read_key(key)
    store = open_registry(registry, files, assignments, create=True)
    with progress(f"patches to {version}") as told:
        rules = PatchRules(told=told) if patches else PatchRules(versions=0)
        result = push_model(store, replace(request, patches=rules), private)
    value = asdict(result) | {"delta_share": result.delta_share}
    shown = [each for each in value if each not in {"name", "version", "shipments"}]
    rows = [(each.replace("_", " "), value[each]) for each in shown]
    rows += [(f"from {each.from_version}", _told(each)) for each in result.shipments]
    show(value, Table(("model", f"{name}@{version}"), rows), output, as_json=as_json)


def _told(shipment: Shipment) -> str:
    """Say how a device with an earlier version gets this one, in one line."""
    why = f"; {shipment.note}" if shipment.note else ""
    return f"{shipment.way}, {shipment.bytes} bytes, {shipment.share:.1%} of all{why}"


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
