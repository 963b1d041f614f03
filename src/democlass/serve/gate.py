"""The gate: what is checked of a request before it is served, and what is logged of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from democlass.serve.body import Body, UploadMemory
from democlass.serve.checks import check_content, check_key, check_message, check_origin
from democlass.serve.limits import FORM_OVERHEAD, Limits
from democlass.serve.refusals import Refusal, busy
from democlass.serve.service import Service, stopping

CLASSIFYING = ("/predict", "/predict/batch")
"""The paths at which images are classified: only there is a body read."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


class Gate:
    """ASGI middleware around the whole app. What it logs is method, endpoint, status, size and time; no more."""

    def __init__(self, app: ASGIApp, service: Service, limits: Limits, log: Callable[[str], object]) -> None:
        self._app, self._service, self._limits, self._log = app, service, limits, log
        self._memory = UploadMemory(limits.upload_memory)
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        visit = _Visit(scope, Body(receive, self._limits, self._memory), send)
        try:
            await self._serve(visit)
        except Exception:
            visit.status = HTTPStatus.INTERNAL_SERVER_ERROR  # which is answered outside of this
            raise
        finally:
            visit.body.release()
            self._note(visit, time.perf_counter() - began)

    async def _serve(self, visit: _Visit) -> None:
        try:
            check_message(visit.scope["http_version"], visit.headers)
            if visit.scope["method"] != "POST" or visit.scope["path"] not in CLASSIFYING:
                await self._app(visit.scope, visit.body.receive, visit.send)
                return
            self._check(visit)
            self._uploads += 1
        except Refusal as refusal:
            await self._refuse(refusal, visit)
            return
        try:
            await visit.body.read()
            await self._app(visit.scope, visit.body.receive, visit.send)
        except Refusal as refusal:
            await self._refuse(refusal, visit)
        finally:
            self._uploads -= 1

    def _check(self, visit: _Visit) -> None:
        """Refuse what would be read in vain. Raises Refusal."""
        headers, limits, service = visit.headers, self._limits, self._service
        if limits.api_key is None:
            check_origin(headers, limits.allow_hosts)
        else:
            check_key(headers, limits.api_key)
        check_content(headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limits.max_upload + FORM_OVERHEAD:
            raise visit.body.too_large()
        if service.status == "starting":
            raise busy("the networks are not ready yet: try again in a moment")
        if service.status == "stopping":
            raise stopping()
        if service.taken >= service.most:
            raise busy(f"{service.most} images are waiting: try again in a moment")
        if self._uploads >= limits.uploads:
            raise busy(f"{limits.uploads} uploads are on their way: try again in a moment")

    async def _refuse(self, refusal: Refusal, visit: _Visit) -> None:
        self._service.metrics.errors.labels(refusal.kind).inc()
        await refusal.response()(visit.scope, visit.body.receive, visit.send)

    def _note(self, visit: _Visit, seconds: float) -> None:
        known = {getattr(route, "path", "") for route in visit.scope["app"].routes}
        endpoint = visit.scope["path"] if visit.scope["path"] in known else "other"  # never what a stranger made up
        method = visit.method if visit.method in _METHODS else "other"
        metrics = self._service.metrics
        metrics.requests.labels(endpoint, str(visit.status)).inc()
        metrics.seconds.labels(endpoint).observe(seconds)
        self._log(f"{method} {endpoint} {visit.status} {visit.body.size} bytes {1000 * seconds:.0f} ms")


class _Visit:
    """One request, its body, and the status of its answer."""

    def __init__(self, scope: Scope, body: Body, send: Send) -> None:
        self.method, self.body, self._send = scope["method"], body, send
        # The server leaves the body out of an answer to HEAD.
        method = "GET" if self.method == "HEAD" else self.method
        self.scope = {**scope, "method": method, "path": _path(scope["path"])}
        self.headers = Headers(scope=scope)
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on. A connection ends with an answer that comes before the end of its request."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._has_body() and not self.body.is_complete:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)

    def _has_body(self) -> bool:
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"


def _path(target: str) -> str:
    """Return the path of a request's target, which may be a whole URL."""
    scheme, found, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if found and scheme.lower() in ("http", "https") else target
