"""What is done around a model, as its manifest says it: named steps before the engine and after it.

A manifest carries them (`manifest.Manifest.stages`), so they are signed with the model. Here they are only words and
numbers of limited size; `protocol.stages` knows what they mean, and `edge_runtime.serving.stages` carries them out.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.document import Sparse

MOST_STAGES: Final = 16
"""Before the engine, and as many after it."""
MOST_PARAMS: Final = 16
LONGEST_NAME: Final = 200
"""Characters of a tensor's name."""
MOST_TENSORS: Final = 8
"""That one stage takes or gives."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


class Stage(Sparse, frozen=True, kw_only=True):
    """One step. Which steps there are, and what their `params` are, is in docs/guides/stages.md."""

    name: str
    version: int = 1
    """What the step does never changes under a number."""
    of: tuple[str, ...]
    """Tensors that it takes."""
    into: tuple[str, ...] = ()
    """Tensors that it gives; empty means under the names that it takes."""
    keep: bool = False
    """Whether what it takes stays beside what it gives."""
    params: dict[str, bool | int | float | str | tuple[float, ...] | None] = msgspec.field(
        default_factory=dict
    )

    @property
    def key(self) -> str:
        """Give name and number, such as resize@1."""
        return f"{self.name}@{self.version}"


class Stages(Sparse, frozen=True, kw_only=True):
    """The steps around a model, in order."""

    pre: tuple[Stage, ...] = ()
    """What a client sends -> what the engine takes."""
    post: tuple[Stage, ...] = ()
    """What the engine gives -> what a client gets."""

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.pre or self.post)

    @property
    def key(self) -> str:
        """Name all steps in order, such as `decode-image@1,resize@1|argmax@1`; empty when there are none."""
        return "|".join(",".join(each.key for each in part) for part in (self.pre, self.post)) if self else ""


NO_STAGES: Final = Stages()


def check_stages(stages: Stages, what: str) -> None:
    """Check that nothing is too long or has no name; whether a machine knows the steps is not asked here.

    Raises:
        IntegrityError: `what` has a stage that is none.
    """
    for part, steps in (("pre", stages.pre), ("post", stages.post)):
        if len(steps) > MOST_STAGES:
            raise IntegrityError(f"{what} has {len(steps)} stages {part}; at most {MOST_STAGES} are taken")
        for number, stage in enumerate(steps, 1):
            where = f"{what}: stage {part} {number}"
            if not _NAME.fullmatch(stage.name) or stage.version < 1:
                raise IntegrityError(f"{where} is {stage.name[:50]!r} {stage.version}, which is no stage")
            tensors = (*stage.of, *stage.into)
            if not stage.of or max(len(stage.of), len(stage.into)) > MOST_TENSORS:
                raise IntegrityError(f"{where} ({stage.name}) takes no tensor, or more than {MOST_TENSORS}")
            if not all(0 < len(name) <= LONGEST_NAME for name in tensors):
                raise IntegrityError(f"{where} ({stage.name}) names a tensor without a name, or a long one")
            if len(stage.params) > MOST_PARAMS:
                raise IntegrityError(f"{where} ({stage.name}) has more than {MOST_PARAMS} params")
