"""What the stages of a manifest mean: are they known, are their params right, do they fit together and the model. Pure.

`registry.push` asks before it signs, `offer` before a device fetches anything, and the device again with what its
engine says of the model: whoever gets through has stages whose shapes are right before the first request comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from toolkit.errors import IntegrityError
from toolkit.protocol.stage_kinds import KINDS, Form, Forms, Kind
from toolkit.wire.learnt import learn
from toolkit.wire.stages import Stage, Stages, check_stages


@dataclass(frozen=True)
class Step:
    """A stage that is understood."""

    stage: Stage
    kind: Kind
    """Its params."""
    place: str
    """How to name it: `stage decode-image (pre 1)`."""

    @property
    def into(self) -> tuple[str, ...]:
        """Name the tensors that it gives."""
        return self.stage.into or self.stage.of


@dataclass(frozen=True)
class Plan:
    """Stages that fit a model."""

    pre: tuple[Step, ...]
    post: tuple[Step, ...]
    inputs: dict[str, Form]
    """What a client sends."""
    outputs: dict[str, Form]
    """What it gets."""


def unknown_stages(stages: Stages, known: Iterable[str]) -> tuple[str, ...]:
    """Name the stages that a machine does not have; `known` are keys such as resize@1."""
    have = frozenset(known)
    return tuple(each.key for each in (*stages.pre, *stages.post) if each.key not in have)


def read_stages(stages: Stages, what: str) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Understand the stages before and after a model.

    Raises:
        IntegrityError: `what` has a stage that is unknown here, or has params that it cannot have.
    """
    check_stages(stages, what)
    pre = tuple(_read(each, f"{what}: stage {each.name} (pre {n})") for n, each in enumerate(stages.pre, 1))
    post = tuple(
        _read(each, f"{what}: stage {each.name} (post {n})") for n, each in enumerate(stages.post, 1)
    )
    return pre, post


def _read(stage: Stage, place: str) -> Step:
    kind = KINDS.get(stage.name)
    if kind is None or stage.version != kind.VERSION:
        raise IntegrityError(
            f"{place}: {stage.key} is not known here; there are {', '.join(known_keys())}",
            hint="correct the name, or update tiers on this machine",
        )
    try:
        params = msgspec.convert(stage.params, learn(kind))
        params.check()
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__) or "none"
        raise IntegrityError(f"{place}: params: {error}", hint=f"its params are: {known}") from error
    except IntegrityError as error:
        raise IntegrityError(f"{place}: {error.message}", hint=error.hint) from error
    step = Step(stage, params, place)
    if (len(stage.of), len(step.into)) != (kind.TAKES, kind.GIVES):
        raise IntegrityError(
            f"{place}: it takes {kind.TAKES} and gives {kind.GIVES}, not {len(stage.of)} and {len(step.into)}",
            hint="name them in `of` and `into`",
        )
    if len(set(step.into)) < len(step.into):
        raise IntegrityError(f"{place}: `into` names a tensor twice", hint="give each a name of its own")
    return step


def known_keys() -> tuple[str, ...]:
    """List the stages that this version has, such as resize@1."""
    return tuple(f"{kind.NAME}@{kind.VERSION}" for kind in KINDS.values())


def fit_stages(stages: Stages, inputs: Mapping[str, Form], outputs: Mapping[str, Form], what: str) -> Plan:
    """Lay stages around a model with these inputs and outputs.

    Raises:
        IntegrityError: a stage is unknown, or a tensor does not fit the next one that takes it.
    """
    pre, post = read_stages(stages, what)
    left = dict(outputs)
    for step in post:
        if lacking := [name for name in step.stage.of if name not in left]:
            there = ", ".join(left) or "nothing"
            raise IntegrityError(f"{step.place}: nothing gives {lacking[0]!r}; there is {there}")
        _apply(step, left)
    return Plan(pre, post, _fit_before(pre, inputs, what), left)


def _fit_before(pre: Iterable[Step], inputs: Mapping[str, Form], what: str) -> dict[str, Form]:
    """Lead the stages up to a model's inputs; give what a client sends."""
    taken: dict[str, Form] = {}
    ready: dict[str, Form] = {}
    for step in pre:
        for name in step.stage.of:
            if name not in ready:
                ready[name] = taken[name] = _first(step, name, taken)
        _apply(step, ready)
    for name, form in inputs.items():
        if name not in ready and name in taken:
            raise IntegrityError(f"{what}: the model takes {name!r}, which a stage has used up")
        if name not in ready:
            ready[name] = taken[name] = form
        _check_input(what, name, ready.pop(name), form)
    if ready:
        given, wanted = (", ".join(map(repr, names)) for names in (ready, inputs))
        raise IntegrityError(
            f"{what}: the stages give {given}; the model takes {wanted}",
            hint="name the model's input in the last stage's `into`",
        )
    return taken


def _first(step: Step, name: str, taken: Mapping[str, Form]) -> Form:
    if name in taken:
        raise IntegrityError(f"{step.place}: {name!r} was used up before; say `keep` there")
    first = step.kind.first()
    if first is None:
        known = ", ".join(kind.NAME for kind in KINDS.values() if kind.first is not Kind.first)
        raise IntegrityError(
            f"{step.place}: nothing gives {name!r}", hint=f"what a client sends is first for one of: {known}"
        )
    return first


def _apply(step: Step, ready: dict[str, Form]) -> None:
    """Replace what a stage takes by what it gives."""
    forms: Forms = tuple(ready[name] for name in step.stage.of)
    try:
        given = step.kind.fit(forms)
    except IntegrityError as error:
        raise IntegrityError(f"{step.place}: {error.message}", hint=error.hint) from error
    if not step.stage.keep:
        for name in step.stage.of:
            ready.pop(name, None)
    for name, form in zip(step.into, given, strict=True):
        if name in ready:
            raise IntegrityError(
                f"{step.place}: there is a {name!r} already", hint="give another name in `into`"
            )
        ready[name] = form


def _check_input(what: str, name: str, given: Form, wanted: Form) -> None:
    """Check what the stages give against an input of the model; a length that only a request tells is no answer."""
    fits = len(given.shape) == len(wanted.shape) and all(
        want is None or want == got for got, want in zip(given.shape, wanted.shape, strict=True)
    )
    if given.dtype != wanted.dtype or not fits:
        raise IntegrityError(
            f"{what}: the stages give {name!r} as {given}; the model takes {wanted}",
            hint="stages such as resize and normalise fix size, layout and type",
        )
