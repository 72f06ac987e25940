"""Paths of the Open Inference Protocol v2 -> what answers them. `connection` calls `respond`, which never raises.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import unquote

from edge_runtime.engine.base import TensorSpec
from edge_runtime.serving.http import Request, Response, error_response, json_response
from edge_runtime.serving.models import ModelTable, ServedModel
from edge_runtime.serving.refusals import BadRequestError, RequestError
from edge_runtime.serving.tensors import (
    HEADER_LENGTH,
    NAMES,
    InferRequest,
    check_wanted,
    decode_request,
    encode_response,
)
from toolkit.errors import TiersError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RETRY_SECONDS = "1"
LONGEST_TIMEOUT = 1e12
"""Microseconds; more is a mistake, and so is less than 0."""


class Routes:
    """Answers requests from a table of models."""

    def __init__(self, table: ModelTable, metrics: Callable[[], bytes] | None = None) -> None:
        """Serve this table; `metrics` gives the page of /metrics in Prometheus' text format."""
        self._table = table
        self._metrics = metrics
        self._about = {
            "name": "tiers-edge",
            "version": version("tiers"),
            "extensions": ["binary_tensor_data"],
        }

    async def respond(self, request: Request) -> Response:
        """Answer one request; what goes wrong is an answer too."""
        parts = [unquote(part) for part in request.path.split("/")[1:]]
        try:
            match parts:
                case ["v2", "models", name, "infer"]:
                    return await self._post(request, name, "")
                case ["v2", "models", name, "versions", wanted, "infer"]:
                    return await self._post(request, name, wanted)
                case _:
                    return self._get(request, parts)
        except RequestError as exc:
            return _refuse(exc)
        except TiersError as exc:  # an engine that failed
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, exc.message)

    def _get(self, request: Request, parts: list[str]) -> Response:
        if request.path != "/metrics" and parts[0] != "v2":
            return _nothing_here(request)
        response = self._read(parts)
        if response is None:
            return _nothing_here(request)
        if request.method != "GET":
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
            case ["v2", "models", name, "ready"] | ["v2", "models", name, "versions", _, "ready"]:
                model = self._table.find(name, _wanted_version(parts))
                return json_response(HTTPStatus.OK, {"name": model.name, "ready": True})
            case ["v2", "models", name] | ["v2", "models", name, "versions", _]:
                return json_response(HTTPStatus.OK, _describe(self._table.find(name, _wanted_version(parts))))
            case ["metrics"] if self._metrics is not None:
                return Response(HTTPStatus.OK, (self._metrics(),), content_type=METRICS_TYPE)
            case _:
                return None

    async def _post(self, request: Request, name: str, wanted: str) -> Response:
        began = time.perf_counter()
        if request.method != "POST":
            return _wrong_method(request, "POST")
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            return error_response(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken here")
        model = self._table.find(name, wanted)
        outcome = "cancelled"  # what stays when the client goes away
        try:
            response = await _infer(model, request)
            outcome = "ok"
            model.stats.answered(time.perf_counter() - began)
        except RequestError as exc:
            outcome = exc.outcome
            raise
        except TiersError:
            outcome = "failed"
            raise
        finally:
            model.stats.outcomes[outcome] += 1
        return response


async def _infer(model: ServedModel, request: Request) -> Response:
    asked, inputs = decode_request(request.body, request.headers.get(HEADER_LENGTH.lower()))
    check_wanted(asked, model.output_names)
    priority, timeout_seconds = _urgency(asked)
    outputs = await model.infer(inputs, priority=priority, timeout_seconds=timeout_seconds)
    return encode_response(model.name, model.version, asked, outputs, model.output_names)


def _urgency(request: InferRequest) -> tuple[int, float]:
    """Read the request's `priority` (1 is the most urgent, 0 none) and `timeout` (microseconds -> seconds)."""
    priority = request.parameters.get("priority", 0)
    if type(priority) is not int or not 0 <= priority < 1 << 32:
        raise BadRequestError(
            f"parameter priority is {priority!r}, not a number from 0 (none) or 1 (first) on"
        )
    timeout = request.parameters.get("timeout", 0)
    if type(timeout) is not int or not 0 <= timeout <= LONGEST_TIMEOUT:
        raise BadRequestError(f"parameter timeout is {timeout!r}, not a number of microseconds")
    return priority, timeout / 1e6


def _wanted_version(parts: list[str]) -> str:
    return parts[4] if len(parts) > 4 else ""  # noqa: PLR2004 - v2 models NAME versions VERSION


def _describe(model: ServedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnx",
        "inputs": [_describe_tensor(spec) for spec in model.inputs],
        "outputs": [_describe_tensor(spec) for spec in model.outputs],
    }


def _describe_tensor(spec: TensorSpec) -> dict[str, object]:
    shape = [-1 if axis is None else axis for axis in spec.shape]
    return {"name": spec.name, "datatype": NAMES[spec.dtype], "shape": shape}


def _refuse(exc: RequestError) -> Response:
    retry = {"Retry-After": RETRY_SECONDS} if exc.retryable else {}
    return error_response(exc.status, exc.message, **retry)


def _wrong_method(request: Request, allowed: str) -> Response:
    message = f"{request.method} is not for {request.path[:200]}; use {allowed}"
    return error_response(HTTPStatus.METHOD_NOT_ALLOWED, message, Allow=allowed)


def _nothing_here(request: Request) -> Response:
    return error_response(HTTPStatus.NOT_FOUND, f"nothing is at {request.path[:200]!r}")
