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

    def __init__(self, message: str, *, hint: str = "", retry_seconds: int = 1) -> None:
        """Say what keeps the request from its result; a retryable one is worth repeating after `retry_seconds`."""
        super().__init__(message, hint=hint)
        self.retry_seconds = retry_seconds


class BadRequestError(RequestError):
    """The request is not one, or its tensors are not what the model takes."""

    status = HTTPStatus.BAD_REQUEST
    outcome = "invalid"


class TooLongError(RequestError):
    """The request is longer than is read."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
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
    """As many requests wait as may wait, or this kind of request is not taken for the moment."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    outcome = "shed"
    retryable = True


class DeadlineError(RequestError):
    """The time that the client gave was over before there was a result."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    outcome = "timeout"


class OffloadError(RequestError):
    """Another machine was to answer, and did not; whoever asked it goes on without it."""

    status = HTTPStatus.BAD_GATEWAY
    outcome = "failed"
