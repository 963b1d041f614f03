"""Clients that send requests to a service over plain sockets, with little overhead of their own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """The status of one response, and the seconds from the planned start of its request to its last byte."""

    status: int
    seconds: float


def create_request(content: bytes, field: str = "file") -> bytes:
    """Return a complete request to classify an image."""
    body = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="f"\r\n\r\n'.encode()
    body += content + b"\r\n--b--\r\n"
    header = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return f"{header}Content-Length: {len(body)}\r\n\r\n".encode() + body


def send_in_turn(port: int, requests: Sequence[bytes], clients: int) -> tuple[float, list[Response]]:
    """Send the requests from a number of clients, each with one request at a time.

    Returns the total seconds and the responses.
    """

    async def run_all() -> list[Response]:
        remaining = iter(requests)
        responses: list[Response] = []

        async def client() -> None:
            connection = _Connection(port)
            responses.extend([await connection.send(request, time.perf_counter()) for request in remaining])
            connection.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        return responses

    started = time.perf_counter()
    responses = asyncio.run(run_all())
    return time.perf_counter() - started, responses


def send_at_random_times(port: int, requests: Sequence[bytes], rate: float, seed: int = 0) -> list[Response]:
    """Send `rate` requests per second on average, at random times, and return the responses.

    The times are a Poisson process: they do not depend on how long responses take.
    """

    async def send_one(request: bytes, due: float) -> Response:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = _Connection(port)
        response = await connection.send(request, due)
        connection.close()
        return response

    async def run_all() -> list[Response]:
        rng, due = random.Random(seed), time.perf_counter()  # noqa: S311 (not used for secrets)
        times = [due := due + rng.expovariate(rate) for _ in requests]
        return list(await asyncio.gather(*map(send_one, requests, times)))

    return asyncio.run(run_all())


class _Connection:
    """A persistent connection that is reopened if the service closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes, due: float) -> Response:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        header = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(header.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in header:
            self.close()
        return Response(int(header.split()[1]), time.perf_counter() - due)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
