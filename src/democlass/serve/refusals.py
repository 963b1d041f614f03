"""Refusals: every answer that is no result, and its one shape."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_STATUS_OF_REASON = {
    "not an image": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "HEIC": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "no answer": HTTPStatus.INTERNAL_SERVER_ERROR,
}

CLIENT_GONE = 499
"""nginx's word for a client that closed its connection; nobody reads it but the log."""


class Refusal(HTTPException):
    """A request is not answered with a result. `kind` is what it is counted by, `detail` is for a person."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind

    @classmethod
    def of(cls, error: str) -> Refusal:
        """Return the refusal for an image's error, "reason: advice"."""
        reason = error.partition(":")[0]
        return cls(_STATUS_OF_REASON.get(reason, HTTPStatus.UNPROCESSABLE_ENTITY), reason, error)

    def response(self) -> JSONResponse:
        """Return what the client reads."""
        return JSONResponse({"detail": self.detail, "kind": self.kind}, self.status_code, self.headers)


def busy(detail: str) -> Refusal:
    """Return the refusal of a request that may well be repeated in a second."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, {"Retry-After": "1"})
