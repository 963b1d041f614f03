"""Clients of a service: as many as asked, each with one connection, as light as Python has them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answered:
    """One request: status, and seconds from when it was due to the last byte of its answer."""

    status: int
    seconds: float


def form(content: bytes, field: str = "file") -> bytes:
    """Return a whole request to classify an image."""
    body = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="f"\r\n\r\n'.encode()
    body += content + b"\r\n--b--\r\n"
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def closed(port: int, requests: Sequence[bytes], clients: int) -> tuple[float, list[Answered]]:
    """Send each request as soon as one of the clients is free; return the seconds that all took, and the answers."""

    async def all_of_them() -> list[Answered]:
        waiting = iter(requests)
        answers: list[Answered] = []

        async def client() -> None:
            connection = _Connection(port)
            answers.extend([await connection.ask(request, time.perf_counter()) for request in waiting])
            connection.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        return answers

    began = time.perf_counter()
    answers = asyncio.run(all_of_them())
    return time.perf_counter() - began, answers


def paced(port: int, requests: Sequence[bytes], rate: float, seed: int = 0) -> list[Answered]:
    """Send requests at random moments, `rate` a second on average, however long answers take; return the answers."""

    async def one(request: bytes, due: float) -> Answered:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = _Connection(port)
        answer = await connection.ask(request, due)
        connection.close()
        return answer

    async def all_of_them() -> list[Answered]:
        chance, due = random.Random(seed), time.perf_counter()  # noqa: S311 (arrivals, not secrets)
        moments = [due := due + chance.expovariate(rate) for _ in requests]
        return list(await asyncio.gather(*map(one, requests, moments)))

    return asyncio.run(all_of_them())


class _Connection:
    """A connection that is kept, and opened again where the other side closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, due: float) -> Answered:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return Answered(int(head.split()[1]), time.perf_counter() - due)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
