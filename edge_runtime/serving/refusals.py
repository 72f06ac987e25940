"""Why a request gets no result, each with the HTTP status that says so.

Raised by tensors, models, admission and batcher; `routes` turns them into `{"error": …}`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

from toolkit.errors import TiersError


class RequestError(TiersError):
    """A request that gets no result."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    outcome: ClassVar[str] = "failed"
    """Value of the label `outcome` in the metrics."""


class BadRequestError(RequestError):
    """The request is not one, or its tensors are not what the model takes."""

    status = HTTPStatus.BAD_REQUEST
    outcome = "invalid"


class UnknownModelError(RequestError):
    """No such model or version is served here."""

    status = HTTPStatus.NOT_FOUND
    outcome = "invalid"


class NotReadyError(RequestError):
    """The model is expected here, but no version of it is loaded."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    outcome = "not_ready"
    retryable = True


class OverloadedError(RequestError):
    """As many requests wait as may wait."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    outcome = "shed"
    retryable = True


class DeadlineError(RequestError):
    """The time that the client gave was over before there was a result."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    outcome = "timeout"
