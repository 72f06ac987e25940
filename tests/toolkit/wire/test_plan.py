"""Plans: the name of their machines is frozen, and what cannot be true is not read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.document import encode_json
from toolkit.wire.manifest import Manifest, decode_manifest, encode_manifest
from toolkit.wire.plan import BuiltPlan, PlanFor, decode_built_plan

VECTORS = Path(__file__).parent / "vectors"
BUILT = msgspec.json.decode((VECTORS / "built_plan-1.json").read_bytes(), type=BuiltPlan)
MADE_FOR = BUILT.made_for


def test_machines_that_are_alike_have_one_name_for_ever():
    assert MADE_FOR.machine.key == "b5db6ae010d2160711e484e729dab1dd"
    for name in MADE_FOR.machine.__struct_fields__:
        value = 1 if name == "driver" else "other"
        assert msgspec.structs.replace(MADE_FOR.machine, **{name: value}).key != MADE_FOR.machine.key


def machine(**changes: object) -> PlanFor:
    return msgspec.structs.replace(MADE_FOR, machine=msgspec.structs.replace(MADE_FOR.machine, **changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plan": "short"}, "plan 'short' is not 64"),
        ({"plan_bytes": 1 << 33}, "a plan of 8589934592 bytes"),
        ({"golden": msgspec.structs.replace(BUILT.golden, accuracy=2.0)}, "golden result that cannot be"),
        ({"made_for": machine(gpu="")}, "does not say what machines"),
        ({"made_for": machine(gpu="x" * 201)}, "does not say what machines"),
        (
            {"made_for": msgspec.structs.replace(MADE_FOR, artifact="../../etc")},
            "artifact '../../etc' is not 64",
        ),
    ],
)
def test_what_cannot_be_is_not_read(changes, says):
    data = encode_json(msgspec.structs.replace(BUILT, **changes))
    with pytest.raises(IntegrityError, match=says):
        decode_built_plan(data, what="it")
    assert decode_built_plan(encode_json(BUILT), what="it") == BUILT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plan": None}, "does not say for which model"),
        ({"kind": "model", "model_file": "m"}, "of kind model and says what plan"),
        ({"plan": machine(tensorrt="")}, "does not say what machines"),
    ],
)
def test_a_manifest_of_a_plan_says_what_it_is_for_and_no_other_does(changes, says):
    whole = msgspec.json.decode((VECTORS / "manifest-3-plan.json").read_bytes(), type=Manifest)
    with pytest.raises(IntegrityError, match=says):
        decode_manifest(encode_manifest(msgspec.structs.replace(whole, format=0, **changes))[1])
