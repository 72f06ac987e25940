"""The repository of models as the protocol sees it: what there is, and load and unload where somebody offers them.

`routes` asks it; `guard` has let only callers with the scope admin through to load and unload. Nothing comes in this
way: a load serves a version that the device has installed and verified, and never takes a file or a configuration.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec

from edge_runtime.serving.http import Buffer, Response, error_response, json_response
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import BadRequestError, UnknownModelError

LONGEST_BODY = 64 * 1024
"""Bytes of a question to the repository."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model of this device."""

    name: str
    state: str
    """READY, LOADING, UNLOADING or UNAVAILABLE."""
    version: str = ""
    reason: str = ""
    """Why it is not ready."""


class Repository(Protocol):
    """Loads and unloads what is installed. Called on the event loop."""

    def entries(self) -> Sequence[Entry]:
        """List every model that is declared for this device."""
        ...

    async def load(self, name: str) -> None:
        """Serve the installed version of a model; harmless when it is served already.

        Raises:
            UnknownModelError: no such model is declared.
            NotReadyError: no verified version of it is installed.
            EngineError: it does not run; what was served before still is.
        """
        ...

    async def unload(self, name: str) -> None:
        """Give the model's memory back; its files stay, and the next question may load it. Harmless when none serves.

        Raises:
            UnknownModelError: no such model is declared.
        """
        ...


class RepositoryQuestion(msgspec.Struct):
    """Body of all three questions."""

    ready: bool = False
    """For the index: only models that are ready."""
    parameters: Mapping[str, object] = {}


_decoder = msgspec.json.Decoder(RepositoryQuestion)


def listed(table: ModelTable) -> list[Entry]:
    """List a table's models, for a server without a repository of its own."""
    return [
        Entry(name, "READY", version)
        if (version := table.version(name))
        else Entry(name, "UNAVAILABLE", reason="no version is loaded yet")
        for name in table.names
    ]


async def respond(
    repository: Repository | None, table: ModelTable, parts: Sequence[str], body: Buffer
) -> Response:
    """Answer a POST below /v2/repository.

    Args:
        repository: None where nobody offers load and unload.
        table: for the index then.
        parts: of the path behind it: `index`, or `models NAME load`.
        body: as it came; may be empty.

    Raises:
        RequestError: the question gets no such answer.
        EngineError: a model that was to be loaded does not run.
    """
    question = _read(body)
    if parts[0] == "index":
        found = listed(table) if repository is None else repository.entries()
        return json_response(
            HTTPStatus.OK, [each for each in found if each.state == "READY" or not question.ready]
        )
    _, name, verb = parts
    if name not in table.names:
        raise UnknownModelError(
            f"no model is named {name[:80]!r}; here are: {', '.join(table.names) or 'none'}"
        )
    if repository is None:
        return error_response(HTTPStatus.NOT_IMPLEMENTED, "nothing is loaded or unloaded by hand here")
    if verb == "load":
        if question.parameters:
            wrong = next(iter(question.parameters))
            raise BadRequestError(
                f"parameter {wrong[:80]!r} is not taken: a device loads the signed artifact that it has installed"
            )
        await repository.load(name)
    else:
        await repository.unload(name)
    return Response(HTTPStatus.OK)


def _read(body: Buffer) -> RepositoryQuestion:
    if len(body) > LONGEST_BODY:
        raise BadRequestError(f"a question to the repository has at most {LONGEST_BODY} bytes")
    try:
        return _decoder.decode(body) if body else RepositoryQuestion()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequestError(f"the body is not a question to the repository in JSON: {exc}") from exc
