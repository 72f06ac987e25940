"""Paths of the Open Inference Protocol v2 -> what answers them. `connection` calls `respond`, which never raises.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Of Triton's extensions those of EXTENSIONS are here; its clients get a clear 501 for the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from importlib.metadata import version
from typing import Protocol

from edge_runtime.serving import describe, record_door, repository
from edge_runtime.serving.ask import Answerer, Ask, Priority
from edge_runtime.serving.http import Request, Response, error_response, json_response, split_path
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.record_door import Takes
from edge_runtime.serving.refusals import BadRequestError, RequestError
from edge_runtime.serving.repository import Repository
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.shared_memory import Lease, SharedMemory
from edge_runtime.serving.stats import ModelStats
from edge_runtime.serving.tensors import (
    HEADER_LENGTH,
    InferRequest,
    check_wanted,
    decode_request,
    encode_response,
    read_head,
)
from edge_runtime.serving.trace import HEADER, child_of
from toolkit.errors import TiersError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_TIMEOUT = 1e12
"""Microseconds; more is a mistake, and so is less than 0."""


EXTENSIONS = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)
FORWARDED = "tiers-forwarded"
"""Header of a question that another machine has passed on, see `offload`."""
SERVED_BY = "Tiers-Served-By"
NO_TRACES = "nothing is traced by settings here; send a traceparent, which is passed on and logged"


class Front(Answerer, Protocol):
    """What stands behind the routes: the desk, or the table itself."""

    async def reach(
        self, name: str, version: str = "", until: Callable[[], float] = ...
    ) -> ServedModel | None:
        """Look up the model that a question is for; None when only another machine can answer.

        Raises:
            RequestError: nobody can.
        """
        ...


class Routes:
    """Answers requests from a table of models."""

    def __init__(
        self,
        table: ModelTable,
        metrics: Callable[[], bytes] | None = None,
        *,
        desk: Front | None = None,
        repository: Repository | None = None,
        outbox: Callable[[], Takes | None] = lambda: None,
        memory: SharedMemory | None = None,
    ) -> None:
        """Serve this table.

        Args:
            table: the models.
            metrics: gives the page of /metrics in Prometheus' text format.
            desk: answers questions; the table itself when nobody stands before it.
            repository: loads and unloads models; nobody does when there is none.
            outbox: gives what takes records.
            memory: for clients of this machine; None where it is not offered.
        """
        self._memory = memory
        self._outbox = outbox
        self._table = table
        self._metrics = metrics
        self._desk: Front = desk or table
        self._repository = repository
        self._about = {
            "name": "tiers-edge",
            "version": version("tiers"),
            "extensions": [*EXTENSIONS, *(["system_shared_memory"] if memory is not None else [])],
        }

    async def respond(self, request: Request) -> Response:
        """Answer one request; what goes wrong is an answer too."""
        parts = split_path(request.path)
        try:
            match parts:
                case ["v2", "models", name, "infer"]:
                    return await self._post(request, name, "")
                case ["v2", "models", name, "versions", wanted, "infer"]:
                    return await self._post(request, name, wanted)
                case (
                    ["v2", "repository", "index"]
                    | ["v2", "repository", "models", _, "load" | "unload"]
                    | ["v2", "tiers", "records"]
                ):
                    return await self._take(request, parts)
                case ["v2", "systemsharedmemory", *rest] if self._memory is not None:
                    found = self._memory.respond(request.method, rest, request.body, request.user)
                    return found if found is not None else _nothing_here(request)
                case _:
                    return self._get(request, parts)
        except RequestError as exc:
            return _refuse(exc)
        except TiersError as exc:  # an engine that failed
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, exc.message)

    async def _take(self, request: Request, parts: list[str]) -> Response:
        if request.method != "POST":
            return _wrong_method(request, "POST")
        if parts[1] == "tiers":
            return await record_door.respond(self._outbox(), request.body)
        return await repository.respond(self._repository, self._table, parts[2:], request.body)

    def _get(self, request: Request, parts: list[str]) -> Response:
        response = self._read(parts)
        if response is None:
            return _nothing_here(request)
        if request.method != "GET" and response.status != HTTPStatus.NOT_IMPLEMENTED:
            return _wrong_method(request, "GET")
        return response

    def _read(self, parts: list[str]) -> Response | None:
        match parts:
            case ["v2"] | ["v2", ""]:
                return json_response(HTTPStatus.OK, self._about)
            case ["v2", "health", "live"]:
                return json_response(HTTPStatus.OK, {"live": True})
            case ["v2", "health", "ready"]:
                ready = self._table.ready
                status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                return json_response(status, {"ready": ready})
            case ["v2", "models", "stats"]:
                return json_response(HTTPStatus.OK, describe.statistics(self._table.stats()))
            case ["v2", "models", name, *rest]:
                return self._read_model(name, rest)
            case ["metrics"] if self._metrics is not None:
                return Response(HTTPStatus.OK, (self._metrics(),), content_type=METRICS_TYPE)
            case ["v2", *rest] if why := _not_offered(rest):
                return error_response(HTTPStatus.NOT_IMPLEMENTED, why)
            case _:
                return None

    def _read_model(self, name: str, rest: list[str]) -> Response | None:
        wanted = ""
        match rest:
            case ["versions", wanted, *more]:
                rest = more
        match rest:
            case []:
                return json_response(HTTPStatus.OK, describe.metadata(self._table.find(name, wanted)))
            case ["ready"]:
                model = self._table.find(name, wanted)
                return json_response(HTTPStatus.OK, {"name": model.name, "ready": True})
            case ["config"]:
                return json_response(HTTPStatus.OK, describe.configuration(self._table.find(name, wanted)))
            case ["stats"]:
                return json_response(HTTPStatus.OK, describe.statistics(self._counts(name, wanted)))
            case ["trace", "setting"]:
                return error_response(HTTPStatus.NOT_IMPLEMENTED, NO_TRACES)
            case _:
                return None

    def _counts(self, name: str, wanted: str) -> list[ModelStats]:
        found = [each for each in self._table.stats() if each.model == name and wanted in ("", each.version)]
        if not found:
            self._table.find(name, wanted)  # says what is wrong with the question
        return found

    async def _post(self, request: Request, name: str, wanted: str) -> Response:
        began = time.perf_counter()
        if request.method != "POST":
            return _wrong_method(request, "POST")
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            return error_response(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "compressed bodies are not taken here: they would be inflated on the way of everybody's requests",
                Accept_Encoding="identity",
            )
        model = await self._desk.reach(name, wanted, lambda: _read_deadline(request, began))
        outcome = "cancelled"  # what stays when the client goes away
        local = self._memory is not None and request.user is not None
        lease = self._memory.lease() if self._memory is not None and local else None
        try:
            response = await self._infer(model, name, wanted, request, began, lease)
            outcome = "ok"
        except RequestError as exc:
            outcome = exc.outcome
            raise
        except TiersError:
            outcome = "failed"
            raise
        finally:
            if lease is not None:
                lease.release()
            if model is not None:
                model.stats.finished(outcome, time.perf_counter() - began)
        return response

    async def _infer(
        self,
        model: ServedModel | None,
        name: str,
        wanted: str,
        request: Request,
        arrived: float,
        memory: Lease | None = None,
    ) -> Response:
        asked, inputs = decode_request(request.body, request.headers.get(HEADER_LENGTH.lower()), memory)
        if model is not None:
            check_wanted(asked, model.output_names)
        parent = request.headers.get(HEADER)
        trace = child_of(parent) if parent else ""
        answer = await self._desk.answer(
            Ask(
                model=name,
                version=wanted,
                inputs=inputs,
                wanted=tuple(output.name for output in asked.outputs),
                priority=_priority(asked),
                deadline=min(_deadline(asked, arrived), request.expires),
                parameters=asked.parameters,
                client=request.client,
                forwarded=FORWARDED in request.headers,
                trace=trace,
                arrived=arrived,
                alone=request.alone,
            )
        )
        response = encode_response(
            answer.model, answer.version, asked, answer.outputs, answer.served_by, memory
        )
        response.model, response.version, response.trace = answer.model, answer.version, trace
        if not answer.served_by:
            return response
        return replace(response, headers={**response.headers, SERVED_BY: answer.served_by})


def _not_offered(rest: list[str]) -> str:
    """Say why one of Triton's extensions is not here, for its clients; "" for what is none of them."""
    match rest:
        case ["trace", "setting"]:
            return NO_TRACES
        case ["logging"]:
            return "how much is logged stands in the device's configuration: log"
        case ["cudasharedmemory", *_]:
            return "CUDA shared memory is not offered here; send the data"
        case ["systemsharedmemory", *_]:
            return "shared memory is off here (serving.shared_memory); send the data"
        case _:
            return ""


def _priority(request: InferRequest) -> Priority:
    """Read the request's `priority`: 1 is the most urgent, 0 is none, and what lies beyond ours is the last of ours."""
    priority = request.parameters.get("priority", 0)
    if type(priority) is not int or not 0 <= priority < 1 << 32:
        raise BadRequestError(
            f"parameter priority is {priority!r}, not a number from 0 (none) or 1 (first) on"
        )
    return Priority(min(priority, Priority.BATCH)) if priority else Priority.NORMAL


def _read_deadline(request: Request, arrived: float) -> float:
    """Give the deadline of a request that has to wait before it can be taken."""
    asked = read_head(request.body, request.headers.get(HEADER_LENGTH.lower()))[0]
    return min(_deadline(asked, arrived), request.expires)


def _deadline(request: InferRequest, arrived: float) -> float:
    """Read the request's `timeout` in microseconds; 0 is none."""
    timeout = request.parameters.get("timeout", 0)
    if type(timeout) is not int or not 0 <= timeout <= LONGEST_TIMEOUT:
        raise BadRequestError(f"parameter timeout is {timeout!r}, not a number of microseconds")
    return arrived + timeout / 1e6 if timeout else math.inf


def _refuse(exc: RequestError) -> Response:
    retry = {"Retry-After": str(exc.retry_seconds)} if exc.retryable else {}
    return error_response(exc.status, exc.message, **retry)


def _wrong_method(request: Request, allowed: str) -> Response:
    message = f"{request.method} is not for {request.path[:200]}; use {allowed}"
    return error_response(HTTPStatus.METHOD_NOT_ALLOWED, message, Allow=allowed)


def _nothing_here(request: Request) -> Response:
    return error_response(HTTPStatus.NOT_FOUND, f"nothing is at {request.path[:200]!r}")
