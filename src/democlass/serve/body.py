"""The body of a request: read whole, in memory and under limits, before any work is done for it."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus

from starlette.types import Message, Receive

from democlass.serve.limits import FORM_OVERHEAD, MIN_RATE, Limits
from democlass.serve.refusals import CLIENT_GONE, Refusal, busy

_PIECE = 2**16
"""Bytes that are kept together: what arrives in smaller pieces must not cost a Python object each."""


class UploadMemory:
    """Counts the bytes that the bodies of all requests hold, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def hold(self, size: int) -> None:
        """Count so many bytes more. Raises Refusal where that is above the limit."""
        if self.held + size > self._limit:
            raise busy("the uploads of other clients fill the memory: try again in a moment")
        self.held += size

    def release(self, size: int) -> None:
        """Count so many bytes less."""
        self.held -= size


class Body:
    """The body of one request. `size` is what has arrived of it, in bytes."""

    def __init__(self, receive: Receive, limits: Limits, memory: UploadMemory) -> None:
        self._receive, self._limits, self._memory = receive, limits, memory
        self._pieces: deque[bytearray] = deque()
        self._held = 0
        self._handed_over = False
        self.size = 0
        self.is_complete = False

    async def read(self) -> None:
        """Read to the end. Raises Refusal: too large, too slow, no memory left, or the client went away."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._limits.upload_timeout
        while not self.is_complete:
            before, period = self.size, self._limits.idle_timeout
            await self._read_until(min(now() + period, deadline))
            is_slow = self.size - before < period * MIN_RATE or now() >= deadline
            if is_slow and not self.is_complete:
                detail = f"the upload takes more than {self._limits.upload_timeout:g} seconds, or has come to a halt"
                raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "too slow", detail)

    async def receive(self) -> Message:
        """Be the ASGI `receive` of the app: hand over the body piece by piece, and keep none of it."""
        if self._handed_over or not self.is_complete:
            return await self._receive()
        await asyncio.sleep(0)  # other connections have their turn between two pieces
        piece = bytes(self._pieces.popleft()) if self._pieces else b""
        self._handed_over = not self._pieces
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    def release(self) -> None:
        """Forget the body, and count its bytes no more."""
        self._pieces.clear()
        self._memory.release(self._held)
        self._held = 0

    def too_large(self) -> Refusal:
        """Return what is said of a body with too many bytes."""
        detail = f"a request may have {self._limits.max_upload} bytes"
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large", detail)

    async def _read_until(self, end: float) -> None:
        now = asyncio.get_running_loop().time
        while not self.is_complete and (left := end - now()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            if message["type"] == "http.disconnect":
                raise Refusal(CLIENT_GONE, "client gone", "the client went away")
            self._add(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)

    def _add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limits.max_upload + FORM_OVERHEAD:
            raise self.too_large()
        self._memory.hold(len(piece))
        self._held += len(piece)
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))
