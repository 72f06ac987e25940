"""The stages of one version, laid around its engine: what clients send -> engine -> what they get.

Made when the version is loaded, and by the golden check; `staged` runs it for each request on a thread of its own kind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import numpy as np

from edge_runtime.engine.base import Array, Tensors, TensorSpec
from edge_runtime.serving.refusals import BadRequestError
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.errors import EngineError, IntegrityError, MissingExtraError
from toolkit.protocol.stage_kinds import KINDS, Form, Kind
from toolkit.protocol.stages import Step, fit_stages
from toolkit.wire.stages import Stages

log = logging.getLogger(__name__)
Function = Callable[..., "Array | tuple[Array, ...]"]
"""Params and the tensors that the stage takes -> those that it gives."""


class UnfitStagesError(EngineError):
    """A version whose stages do not fit its model, or are not for this machine."""


def own_stages() -> frozenset[str]:
    """Give the stages that this machine can do, such as resize@1; those whose package is not installed are left out."""
    return frozenset(
        f"{kind.NAME}@{kind.VERSION}"
        for kind in KINDS.values()
        if not kind.PACKAGE or find_spec(kind.PACKAGE)
    )


class Chain:
    """Stages that fit a model."""

    def __init__(
        self, stages: Stages, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], what: str
    ) -> None:
        """Lay stages around a model.

        Args:
            stages: as the manifest has them.
            inputs: what the engine takes.
            outputs: what it gives.
            what: how to name the version in an error.

        Raises:
            UnfitStagesError: they do not fit the model or each other, are unknown, or lack a package here.
        """
        self.key = stages.key
        try:
            plan = fit_stages(stages, _forms(inputs), _forms(outputs), what)
            self._pre = [(step, _function(step.kind)) for step in plan.pre]
            self._post = [(step, _function(step.kind)) for step in plan.post]
        except (IntegrityError, MissingExtraError) as error:
            raise UnfitStagesError(error.message, hint=error.hint) from error
        self.inputs = _specs(plan.inputs)
        """What a client sends."""
        self.outputs = _specs(plan.outputs)
        """What it gets."""

    @property
    def changes_inputs(self) -> bool:
        """Tell whether there are stages before the engine."""
        return bool(self._pre)

    @property
    def changes_outputs(self) -> bool:
        """Tell whether there are stages after it."""
        return bool(self._post)

    def before(self, inputs: Mapping[str, Array]) -> Tensors:
        """Make the engine's inputs of what a client has sent.

        Raises:
            BadRequestError: a stage cannot work on it.
            EngineError: a stage failed, as one that got no memory does.
        """
        tensors = dict(inputs)
        for step, function in self._pre:
            try:
                _run(step, function, tensors)
            except StageRefusal as refusal:
                source = ", ".join(map(repr, step.stage.of))
                raise BadRequestError(f"stage {step.stage.name}: input {source} is {refusal}") from refusal
            except Exception as error:
                raise _surprise(step, error) from error
        return tensors

    def after(self, outputs: Mapping[str, Array]) -> Tensors:
        """Make what the client gets of the engine's outputs.

        Raises:
            EngineError: a stage cannot work on them.
        """
        tensors = dict(outputs)
        for step, function in self._post:
            try:
                _run(step, function, tensors)
            except (StageRefusal, ValueError) as error:
                raise EngineError(f"stage {step.stage.name}: the model gave {error}") from error
            except Exception as error:
                raise _surprise(step, error) from error
        return tensors


def _surprise(step: Step, error: Exception) -> EngineError:
    """Say that a stage failed, without the text of the error: it may quote the data."""
    log.error("stage %s failed: %s", step.stage.name, type(error).__name__)
    return EngineError(f"stage {step.stage.name} failed: {type(error).__name__}")


def _run(step: Step, function: Function, tensors: Tensors) -> None:
    given = function(step.kind, *(tensors[name] for name in step.stage.of))
    if not step.stage.keep:
        for name in step.stage.of:
            tensors.pop(name, None)
    tensors.update(zip(step.into, given if isinstance(given, tuple) else (given,), strict=True))


FUNCTIONS: Final = {
    "decode-image": "decode_image:decode_image",
    "decode-dicom": "decode_dicom:decode_dicom",
    "picture": "pictures:take",
    "resize": "pictures:resize",
    "normalise": "pictures:normalise",
    "softmax": "scores:softmax",
    "argmax": "scores:argmax",
    "mask-to-rle": "scores:mask_to_rle",
    "nms": "boxes:nms",
}
"""Name of a stage -> the file here and the function in it that computes it; brought, with its package, when used."""


def _function(kind: Kind) -> Function:
    if kind.PACKAGE and find_spec(kind.PACKAGE) is None:
        raise MissingExtraError(f"the stage {kind.NAME}", extra=kind.EXTRA)
    file, _, name = FUNCTIONS[kind.NAME].partition(":")
    function: Function = getattr(import_module(f"{__package__}.{file}"), name)
    return function


def _forms(specs: Sequence[TensorSpec]) -> dict[str, Form]:
    return {spec.name: Form(spec.dtype.name, spec.shape) for spec in specs}


def _specs(forms: Mapping[str, Form]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, np.dtype(form.dtype), form.shape) for name, form in forms.items())
