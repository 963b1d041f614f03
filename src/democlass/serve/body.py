"""Reads the body of a request into memory, within limits, before the app handles the request."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus

from starlette.types import Message, Receive

from democlass.serve.errors import ApiError, busy_error, disconnected_error
from democlass.serve.limits import FORM_OVERHEAD, MIN_RATE, Limits

_BLOCK_SIZE = 2**16
"""Bytes. Smaller pieces are joined until they have this size, so that many tiny pieces do not need an object each."""


class UploadMemory:
    """Counts the bytes that all request bodies hold in memory, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def reserve(self, size: int) -> None:
        """Reserve `size` bytes. Raises ApiError if that would exceed the limit."""
        if self.used + size > self._limit:
            raise busy_error("uploads of other clients use all memory: try again later")
        self.used += size

    def release(self, size: int) -> None:
        """Release `size` bytes."""
        self.used -= size


class RequestBody:
    """The body of one request. `size` is the number of bytes received so far."""

    def __init__(self, receive: Receive, limits: Limits, memory: UploadMemory) -> None:
        self._receive, self._limits, self._memory = receive, limits, memory
        self._blocks: deque[bytearray] = deque()
        self._reserved = 0
        self._is_consumed = False
        self.size = 0
        self.is_complete = False

    async def read(self) -> None:
        """Read the whole body.

        Raises ApiError if the body is too large or too slow, if there is not enough memory, or if the client
        disconnects. The memory is released at once then, so that other uploads can use it.
        """
        try:
            await self._read()
        except ApiError:
            self.release()
            raise

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + self._limits.upload_timeout
        while not self.is_complete:
            size_before, period = self.size, self._limits.idle_timeout
            await self._read_until(min(now() + period, deadline))
            is_slow = self.size - size_before < period * MIN_RATE or now() >= deadline
            if is_slow and not self.is_complete:
                detail = f"the upload took more than {self._limits.upload_timeout:g} seconds, or stalled"
                raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "too slow", detail)

    async def receive(self) -> Message:
        """Implement the ASGI `receive` for the app: return the body block by block and free each block."""
        if self._is_consumed or not self.is_complete:
            return await self._receive()
        await asyncio.sleep(0)  # let other connections run between two blocks
        block = bytes(self._blocks.popleft()) if self._blocks else b""
        self._is_consumed = not self._blocks
        return {"type": "http.request", "body": block, "more_body": bool(self._blocks)}

    def end(self, size: int) -> bytes:
        """Return the last `size` bytes of the body, or fewer if it is shorter."""
        end = b""
        for block in reversed(self._blocks):
            end = bytes(block[-(size - len(end)) :]) + end
            if len(end) >= size:
                break
        return end

    def release(self) -> None:
        """Discard the body and release its memory."""
        self._blocks.clear()
        self._memory.release(self._reserved)
        self._reserved = 0

    def too_large_error(self) -> ApiError:
        """Return the error for a body that exceeds the limit."""
        detail = f"the request is too large: at most {self._limits.max_upload} bytes are allowed"
        return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large", detail)

    async def _read_until(self, deadline: float) -> None:
        now = asyncio.get_running_loop().time
        while not self.is_complete and (remaining := deadline - now()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), remaining)
            except asyncio.TimeoutError:
                return
            if message["type"] == "http.disconnect":
                raise disconnected_error()
            self._append(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)

    def _append(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limits.max_upload + FORM_OVERHEAD:
            raise self.too_large_error()
        self._memory.reserve(len(piece))
        self._reserved += len(piece)
        if self._blocks and len(self._blocks[-1]) < _BLOCK_SIZE:
            self._blocks[-1] += piece
        else:
            self._blocks.append(bytearray(piece))
