"""What a plan is for, and what its builder says of it: the documents that let one device build for many.

A plan is TensorRT's compiled form of a model: executable code, for one kind of machine. A device whose key has the role
`builder` builds it, checks it against the golden examples and seals a `BuiltPlan`; the registry looks at that and makes
an artifact of kind plan of it (`registry.countersign`), whose manifest has a `PlanFor`.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, digest_of, parse_digest
from toolkit.wire.document import Document, decode_json

PLAN_FILE: Final = "engine.plan"
"""The one file of an artifact of kind plan."""
MOST_PLAN_BYTES: Final = 4 * 1024**3
LONGEST_FACT: Final = 200


class PlanMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a plan depends on beside its model. Machines with equal facts may use the same plan."""

    settings: str
    """How it was built."""
    tensorrt: str
    """Version to the last number."""
    capability: str
    """Of the GPU, such as 8.7."""
    gpu: str
    device_model: str
    l4t: str
    driver: int
    """CUDA version of the driver."""
    architecture: str

    @property
    def key(self) -> str:
        """Give a name for Refs and topics: 32 hexadecimal characters."""
        return digest_of(msgspec.json.encode(self, order="sorted"))[:32]


class PlanFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model and which machines a plan is for."""

    artifact: Digest
    """Artifact of kind model."""
    model: str
    """SHA-256 over the model's files, as the engine counts it."""
    machine: PlanMachine


class GoldenResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the golden check of a plan found; it was within the tolerance, or there would be no document."""

    examples: int
    worst_difference: float
    accuracy: float = -1.0
    """Share of labels that were hit; -1 when there are none."""
    p95_seconds: float = 0.0


class BuiltPlan(Document, frozen=True, kw_only=True):
    """What a builder says of a plan; sealed as `plan`."""

    FORMAT: ClassVar[int] = 1
    builder: str
    """Name of the device."""
    name: str
    version: str
    """Of the model."""
    made_for: PlanFor
    plan: Digest
    """BLAKE3-256 of the plan file."""
    plan_bytes: int
    golden: GoldenResult


def decode_built_plan(data: bytes, *, what: str) -> BuiltPlan:
    """Read what a builder said, once its seal was opened.

    Raises:
        IntegrityError: it is damaged, of a newer format, or cannot be true.
    """
    built = decode_json(data, BuiltPlan, what=what)
    check_plan_for(built.made_for, what)
    parse_digest(built.plan, what=f"{what}: plan")
    if not 0 < built.plan_bytes <= MOST_PLAN_BYTES:
        raise IntegrityError(f"{what} speaks of a plan of {built.plan_bytes} bytes")
    golden = built.golden
    if golden.examples < 1 or not golden.worst_difference >= 0 or not -1 <= golden.accuracy <= 1:
        raise IntegrityError(f"{what} has a golden result that cannot be: {golden}")
    return built


def check_plan_for(made_for: PlanFor, what: str) -> None:
    """Check the fields of what a plan is for.

    Raises:
        IntegrityError: one of them is empty where it must not be, or too long.
    """
    parse_digest(made_for.artifact, what=f"{what}: artifact")
    parse_digest(made_for.model, what=f"{what}: model")
    machine = made_for.machine
    facts = [each for each in msgspec.structs.astuple(machine) if isinstance(each, str)]
    if max(map(len, facts)) > LONGEST_FACT or not all((machine.settings, machine.tensorrt, machine.gpu)):
        raise IntegrityError(f"{what} does not say what machines its plan is for")
