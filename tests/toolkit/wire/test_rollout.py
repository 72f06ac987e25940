"""A rollout's document: the lowest number that says it, names of attempts, and no figure that means nothing."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.rollout import (
    Limit,
    Measured,
    Pace,
    Retry,
    Rollout,
    RolloutSpec,
    Wave,
    attempt_label,
    decode_rollout,
    read_attempt,
)


def rollout(*, approved: int = 0, **spec: object) -> Rollout:
    fields = {
        "model": "digits", "version": "2", "artifact": digest_of(b"new"), "devices": ("a", "b"),
        "waves": (Wave(devices=1), Wave(devices=2)), **spec,
    }  # fmt: skip
    return Rollout(name="digits-2-1", number=1, seq=1, spec=RolloutSpec(**fields), approved=approved)


@pytest.mark.parametrize(
    "spec",
    [
        {"approved": 1}, {"waves": (Wave(devices=2, approve=True),)}, {"waves": (Wave(devices=2, label="x=y"),)},
        {"limits": (Limit(count=0),)}, {"measured": Measured(error_rate=0.0)}, {"on_failure": "take-back"},
        {"success": 0.5}, {"offline_grace_seconds": 0.0}, {"pace": Pace(in_flight=1)}, {"retry": Retry()},
        {"deadline_seconds": 0.0},
    ],
)  # fmt: skip
def test_what_1_cannot_say_is_written_in_2(spec: dict[str, object]):
    assert rollout(soak_seconds=3.0, max_failed=1).format == 1
    assert rollout(**spec).format == 2
    assert decode_rollout(encode_json(rollout(**spec))) == rollout(**spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"success": 1.5}, {"limits": (Limit(share=-0.1),)}, {"limits": (Limit(),)},
        {"limits": (Limit(count=1, share=0.1),)}, {"pace": Pace(each=0)}, {"pace": Pace(growth=0.5)},
        {"retry": Retry(attempts=0)}, {"waves": (Wave(devices=2), Wave(devices=1))}, {"soak_seconds": -1.0},
        {"measured": Measured(requests=-1)}, {"deadline_seconds": -1.0}, {"max_failed": -1},
    ],
)  # fmt: skip
def test_a_figure_that_means_nothing_is_refused(spec: dict[str, object]):
    with pytest.raises(IntegrityError, match="figure that means nothing"):
        decode_rollout(encode_json(rollout(**spec)))


def test_names_of_attempts():
    assert [attempt_label("x-2", attempt) for attempt in (1, 2, 13)] == ["x-2", "x-2~2", "x-2~13"]
    assert [read_attempt(label) for label in ("x-2", "x-2~13", "", "x~y", "x~99999999", "x~²")] == [
        ("x-2", 1), ("x-2", 13), ("", 1), ("x", 1), ("x", 1), ("x", 1)
    ]  # fmt: skip
