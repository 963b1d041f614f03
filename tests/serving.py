"""A service for tests: a real process, and clients that speak to its socket byte by byte."""

from __future__ import annotations

import io
import json
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from conftest import command, environment

PATIENCE = 60
QUEUE, MAX_UPLOAD = 6, 1_000_000


@dataclass
class Serving:
    """A service that runs: where, as which process, what it has said so far."""

    process: subprocess.Popen[bytes]
    url: str
    said: Path

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=PATIENCE, **more)

    def post(self, content: bytes | Path, name: str = "file.jpg", **more: Any) -> httpx.Response:
        data = content if isinstance(content, bytes) else content.read_bytes()
        return self.request("POST", "/predict", files={"file": (name, data)}, **more)

    def health(self) -> str:
        return str(self.request("GET", "/health").json()["status"])

    def connect(self, sent: bytes = b"") -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
        connection.sendall(sent)
        return connection

    def ask(self, sent: bytes, *, finish: bool = False) -> Answer:
        """Send bytes and read one answer; with `finish`, say first that nothing more will be sent."""
        with self.connect(sent) as connection:
            if finish:
                connection.shutdown(socket.SHUT_WR)
            return read_answer(connection)

    def figure(self, name: str) -> float:
        lines = self.request("GET", "/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)

    def errors(self, kind: str) -> float:
        return self.figure(f'democlass_errors_total{{kind="{kind}"}}')

    def children(self) -> set[int]:
        """Return the decoding processes."""
        pid = self.process.pid
        found = (task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children"))
        return {int(child) for children in found for child in children}

    def waiting(self) -> float:
        return self.figure("democlass_queue_images")


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return str(json.loads(self.body)["kind"])


@contextmanager
def serving(
    said: Path, *words: str, env: dict[str, str] | None = None, limits: dict[int, int] | None = None
) -> Iterator[Serving]:
    """Run a service, with limits on resources: `limits={resource.RLIMIT_NOFILE: 100}`."""

    def limit() -> None:
        for which, most in (limits or {}).items():
            resource.setrlimit(which, (most, most))

    with said.open("wb") as stream:
        process = subprocess.Popen(
            command("serve", "--port", "0", *words),
            env=environment(**(env or {})),
            cwd=said.parent,
            stderr=stream,
            preexec_fn=limit,
        )
    try:
        address = eventually(lambda: re.search(r"listening at (\S+)", said.read_text()) or process.poll() is not None)
        assert process.poll() is None, said.read_text()
        here = Serving(process, address[1], said)
        eventually(lambda: here.request("GET", "/health").status_code == 200)
        yield here
    finally:
        process.kill()
        process.wait()


def eventually(found: Callable[[], Any], seconds: float = 90) -> Any:
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return answer


def stop(service: Serving) -> int:
    service.process.send_signal(signal.SIGTERM)
    return service.process.wait(PATIENCE)


def head(method: str = "POST", path: str = "/predict", *fields: str, version: str = "1.1") -> bytes:
    """Return the header of a request."""
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: localhost", *fields, "", "")).encode()


FORM = "Content-Type: multipart/form-data; boundary=b"


def body(*contents: bytes, field: str = "file", more: str = '; filename="f"') -> bytes:
    """Return a form with a part for each content."""
    part = f'--b\r\nContent-Disposition: form-data; name="{field}"{more}\r\n\r\n'.encode()
    return b"".join(part + content + b"\r\n" for content in contents) + b"--b--\r\n"


def form(*contents: bytes, path: str = "/predict", fields: Sequence[str] = (), **more: str) -> bytes:
    """Return a whole request with a form."""
    sent = body(*contents, **more)
    return head("POST", path, FORM, f"Content-Length: {len(sent)}", *fields) + sent


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer whose length is known."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(status, headers, stream.read(int(headers.get("content-length", 0))))


def read_to_the_end(connection: socket.socket) -> bytes:
    """Read until the service closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def drip(connection: socket.socket, piece: bytes, pause: float, seconds: float = PATIENCE) -> bytes:
    """Send a piece again and again until the service closes the connection; return what it said."""
    received, until = b"", time.monotonic() + seconds
    connection.settimeout(pause)
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() < until:
            connection.sendall(piece)
            with suppress(TimeoutError):
                if not (said := connection.recv(65536)):
                    return received
                received += said
        raise AssertionError("the connection stays open")
    return received


@lru_cache(maxsize=1)
def slow_jpeg(scans: int = 3000) -> bytes:
    """Return a small file that takes a decoder half a minute: a progressive JPEG that repeats its last scan."""
    stream = io.BytesIO()
    Image.new("RGB", (4000, 4000), "gray").save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]
