"""Options that say what a device must have to get a model: `tiers model push … --l4t ">=36.4,<37" --gpu 8.7`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.wire.manifest import Range, Requires

L4tOption = Annotated[
    str, typer.Option("--l4t", metavar="RANGE", help='Linux for Tegra it needs, such as ">=36.4,<37".')
]
TensorrtOption = Annotated[
    str, typer.Option("--tensorrt", metavar="RANGE", help='TensorRT it needs, such as ">=10.3".')
]
GpuOption = Annotated[
    list[str],
    typer.Option("--gpu", metavar="N.N", help="A compute capability it runs on.", show_default=False),
]
MemoryOption = Annotated[
    str, typer.Option("--memory", metavar="SIZE", help="Free memory that loading needs.")
]
P95Option = Annotated[
    str,
    typer.Option("--p95", metavar="TIME", help="In which 95 of 100 examples must be answered, such as 50ms."),
]
_END = re.compile(r"(>=|<)\s*([0-9.]+)")


def requires_of(l4t: str, tensorrt: str, gpus: Sequence[str], memory: str, p95: str) -> Requires:
    """Put the options together.

    Raises:
        UsageError: one of them is not what it should be.
    """
    from toolkit.errors import UsageError
    from toolkit.topology.units import Bytes, Duration
    from toolkit.wire.manifest import Requires

    for gpu in gpus:
        if not re.fullmatch(r"[0-9]{1,2}\.[0-9]", gpu):
            raise UsageError(f"--gpu {gpu} is not a compute capability", hint="such as 8.7 for an Orin")
    try:
        memory_bytes = Bytes.parse(memory).count if memory else 0
    except ValueError as error:
        raise UsageError(f"--memory: {error}", hint="such as --memory 2GiB") from error
    try:
        p95_seconds = Duration.parse(p95).seconds if p95 else 0.0
    except ValueError as error:
        raise UsageError(f"--p95: {error}", hint="such as --p95 50ms") from error
    return Requires(
        l4t=_range("--l4t", l4t),
        tensorrt=_range("--tensorrt", tensorrt),
        compute_capabilities=tuple(sorted(set(gpus))),
        memory_bytes=memory_bytes,
        p95_seconds=p95_seconds,
    )


def _range(option: str, text: str) -> Range:
    """Read `>=36.4`, `<37` or both with a comma. Raises UsageError."""
    from toolkit.errors import UsageError
    from toolkit.wire.manifest import DOTTED, Range

    ends: dict[str, str] = {}
    for part in text.split(",") if text else []:
        found = _END.fullmatch(part.strip())
        if found is None or found[1] in ends or not DOTTED.fullmatch(found[2]):
            hint = f'such as {option} ">=36.4,<37"; quotes keep the shell from reading < and >'
            raise UsageError(f"{option} {text!r} is not a range of versions", hint=hint)
        ends[found[1]] = found[2]
    return Range(at_least=ends.get(">=", ""), below=ends.get("<", ""))
