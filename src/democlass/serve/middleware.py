"""Middleware around the app: checks each request before its body is read, and logs and counts each response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from democlass.serve.body import RequestBody, UploadMemory
from democlass.serve.errors import ApiError, busy_error, stopping_error
from democlass.serve.limits import FORM_OVERHEAD, Limits
from democlass.serve.request_checks import check_api_key, check_content, check_form_end, check_origin, check_protocol
from democlass.serve.service import Service

UPLOAD_PATHS = ("/predict", "/predict/batch", "/faces")
"""Paths that accept images. Bodies sent to other paths are not read."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


class RequestMiddleware:
    """ASGI middleware around the whole app.

    The log has only the method, endpoint, status, size and time of a request: no file name, key, address or image.
    """

    def __init__(self, app: ASGIApp, service: Service, limits: Limits, log: Callable[[str], object]) -> None:
        self._app, self._service, self._limits, self._log = app, service, limits, log
        self._memory = UploadMemory(limits.upload_memory)
        self._active_uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        context = _RequestContext(scope, RequestBody(receive, self._limits, self._memory), send)
        try:
            await self._handle(context)
        except Exception:
            context.status = HTTPStatus.INTERNAL_SERVER_ERROR  # the response is sent outside of this middleware
            raise
        finally:
            context.body.release()
            self._record(context, time.perf_counter() - started)

    async def _handle(self, context: _RequestContext) -> None:
        try:
            check_protocol(context.scope["http_version"], context.headers)
            if context.scope["method"] != "POST" or context.scope["path"] not in UPLOAD_PATHS:
                await self._call_app(context)
                return
            self._check_upload(context)
            await self._handle_upload(context)
        except ApiError as error:
            self._service.metrics.errors.labels(error.kind).inc()
            await error.to_response()(context.scope, context.body.receive, context.send)

    async def _handle_upload(self, context: _RequestContext) -> None:
        self._active_uploads += 1
        try:
            await self._service.run_until_stopped(asyncio.ensure_future(context.body.read()))
            check_form_end(context.headers, context.body)
            await self._call_app(context)
        finally:
            self._active_uploads -= 1

    async def _call_app(self, context: _RequestContext) -> None:
        await self._app(context.scope, context.body.receive, context.send)

    def _check_upload(self, context: _RequestContext) -> None:
        """Reject a request that can't succeed, before its body is read. Raises ApiError."""
        headers, limits, service = context.headers, self._limits, self._service
        if limits.api_key is None:
            check_origin(headers, limits.allow_hosts)
        else:
            check_api_key(headers, limits.api_key)
        check_content(headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limits.max_upload + FORM_OVERHEAD:
            raise context.body.too_large_error()
        if service.status == "starting":
            raise busy_error("the networks are not loaded yet: try again later")
        if service.status == "stopping":
            raise stopping_error()
        if service.pending_images >= service.queue_size:
            raise busy_error(f"the queue of {service.queue_size} images is full: try again later")
        if self._active_uploads >= limits.max_uploads:
            raise busy_error(f"{limits.max_uploads} uploads are in progress: try again later")

    def _record(self, context: _RequestContext, seconds: float) -> None:
        """Count and log a response, with no text that the client made up."""
        known_paths = {getattr(route, "path", "") for route in context.scope["app"].routes}
        endpoint = context.scope["path"] if context.scope["path"] in known_paths else "other"
        method = context.method if context.method in _METHODS else "other"
        metrics = self._service.metrics
        metrics.requests.labels(endpoint, str(context.status)).inc()
        metrics.seconds.labels(endpoint).observe(seconds)
        self._log(f"{method} {endpoint} {context.status} {context.body.size} bytes {1000 * seconds:.0f} ms")


class _RequestContext:
    """One request, its body, and the status of its response."""

    def __init__(self, scope: Scope, body: RequestBody, send: Send) -> None:
        self.method, self.body, self._send = scope["method"], body, send
        # HEAD is routed as GET. The server omits the body of a response to HEAD.
        method = "GET" if self.method == "HEAD" else self.method
        self.scope = {**scope, "method": method, "path": _extract_path(scope["path"])}
        self.headers = Headers(scope=scope)
        self.status = 0

    async def send(self, message: Message) -> None:
        """Implement the ASGI `send`. Closes the connection after a response that precedes the end of its request."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._has_body() and not self.body.is_complete:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)

    def _has_body(self) -> bool:
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"


def _extract_path(target: str) -> str:
    """Return the path of a request target, which may be an absolute URL."""
    scheme, separator, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if separator and scheme.lower() in ("http", "https") else target
