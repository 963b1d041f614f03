"""API errors: every response that is not a result has this status, JSON shape and set of kinds."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_STATUS_BY_REASON = {
    "not an image": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "HEIC": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "no answer": HTTPStatus.INTERNAL_SERVER_ERROR,
}

CLIENT_CLOSED_REQUEST = 499
"""The status that nginx logs when a client closes its connection early. It appears only in the log and metrics."""

_RETRY_SOON = {"Retry-After": "1"}  # seconds


class ApiError(HTTPException):
    """A request failed. `kind` is a fixed short text for programs and metrics, `detail` a sentence for people."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind

    @classmethod
    def from_image_error(cls, text: str) -> ApiError:
        """Return the error for an image that could not be read; `text` is "reason: advice"."""
        reason = text.partition(":")[0]
        return cls(_STATUS_BY_REASON.get(reason, HTTPStatus.UNPROCESSABLE_ENTITY), reason, text)

    def to_dict(self) -> dict[str, str]:
        """Return the body of the response, for JSON."""
        return {"detail": self.detail, "kind": self.kind}

    def to_response(self) -> JSONResponse:
        """Return the response to send."""
        return JSONResponse(self.to_dict(), self.status_code, self.headers)


def busy_error(detail: str) -> ApiError:
    """Return the error for a request that the service has no capacity for now. The client may retry it."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, _RETRY_SOON)


def stopping_error() -> ApiError:
    """Return the error for a request that the service can't finish before it stops."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", "the service is stopping: try again later", _RETRY_SOON)


def disconnected_error() -> ApiError:
    """Return the error for a request whose client closed the connection. Nobody receives it."""
    return ApiError(CLIENT_CLOSED_REQUEST, "client gone", "the client closed the connection")
