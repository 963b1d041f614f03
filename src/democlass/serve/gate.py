"""The gate: before a request's body is read, may it come in? And afterwards, what is written down of it."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from democlass.serve.refusals import Refusal, busy
from democlass.serve.service import Service

_PATIENCE = 30.0
"""Seconds that a client may keep us waiting for the next piece of what it sends."""

_DRAIN = 1.0
"""Seconds for which the body of a refused request is still taken, unread: a client that is cut off while it sends
never sees why."""

_MULTIPART_OVERHEAD = 2**12
"""Bytes that a form may have around its file."""


@dataclass(frozen=True)
class Limits:
    """What a request may bring: bytes, and the key it must know, if any."""

    max_upload: int
    api_key: str | None = None


class Gate:
    """ASGI middleware around the whole app. What it logs is method, endpoint, status, size and time; no more."""

    def __init__(self, app: ASGIApp, service: Service, limits: Limits, log: Callable[[str], object]) -> None:
        self._app, self._service, self._limits, self._log = app, service, limits, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        visit = _Visit(receive, send, self._limits.max_upload + _MULTIPART_OVERHEAD)
        try:
            await self._let_in(scope, visit)
        except Exception:
            visit.status = HTTPStatus.INTERNAL_SERVER_ERROR  # which is answered outside of this
            raise
        finally:
            self._note(scope, visit, time.perf_counter() - began)

    async def _let_in(self, scope: Scope, visit: _Visit) -> None:
        if scope["method"] != "POST":
            await self._app(scope, visit.receive, visit.send)
            return
        try:
            self._check(Headers(scope=scope), visit)
        except Refusal as refusal:
            self._service.metrics.errors.labels(refusal.kind).inc()
            await visit.drain()
            await refusal.response()(scope, visit.receive, visit.send)
            return
        try:
            await self._app(scope, visit.receive, visit.send)
        finally:
            self._service.give(1)

    def _check(self, headers: Headers, visit: _Visit) -> None:
        """Take one image on, for a start. Raises Refusal."""
        key = self._limits.api_key
        if key is not None and not hmac.compare_digest(_key_in(headers).encode(), key.encode()):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED, "no key", "X-API-Key is missing or wrong", {"WWW-Authenticate": "ApiKey"}
            )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > visit.most:
            raise visit.too_large()
        if not self._service.ready:
            raise busy("the networks are not ready yet: try again in a moment")
        if not self._service.take(1):
            raise busy(f"{self._service.most} images are waiting: try again in a moment")

    def _note(self, scope: Scope, visit: _Visit, seconds: float) -> None:
        known = {getattr(route, "path", "") for route in scope["app"].routes}
        endpoint = scope["path"] if scope["path"] in known else "other"  # never what a stranger made up
        metrics = self._service.metrics
        metrics.requests.labels(endpoint, str(visit.status)).inc()
        metrics.seconds.labels(endpoint).observe(seconds)
        self._log(f"{scope['method']} {endpoint} {visit.status} {visit.size} bytes {1000 * seconds:.0f} ms")


class _Visit:
    """One request: its body is counted while it is read, its status noted when it is sent."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self.most = receive, send, most
        self.size, self.status = 0, 0
        self._whole = False

    async def receive(self) -> Message:
        """Return the next piece. Raises Refusal where the body is too large, or does not come."""
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._next(), _PATIENCE)
        except asyncio.TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "too slow", "the request did not come to its end") from None
        self.size += len(message.get("body", b""))
        if self.size > self.most:
            await self.drain()
            raise self.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def drain(self) -> None:
        """Take what still comes for a moment, and forget it."""

        async def all_of_it() -> None:
            while not self._whole:
                await self._next()

        try:
            await asyncio.wait_for(all_of_it(), _DRAIN)
        except asyncio.TimeoutError:
            self._whole = True

    async def _next(self) -> Message:
        message = await self._receive()
        self._whole = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    def too_large(self) -> Refusal:
        """Return what is said of a body with too many bytes."""
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too large",
            f"a request may have {self.most - _MULTIPART_OVERHEAD} bytes",
            {"Connection": "close"},
        )


def _key_in(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
