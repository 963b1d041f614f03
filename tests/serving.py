"""Runs `classify serve` as a real process for tests, and sends requests to its socket byte by byte."""

from __future__ import annotations

import io
import json
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import httpx
from PIL import Image

from conftest import EXAMPLES, command, environment, save_tiny_weights, tiny_tasks
from tiny_command import THIRD_TASK

Found = TypeVar("Found")

TIMEOUT = 60
"""Seconds for anything that a service does for one request."""

QUEUE, MAX_UPLOAD = 6, 1_000_000
"""Limits of the service that most tests share."""

FORM = "Content-Type: multipart/form-data; boundary=b"


@dataclass(frozen=True)
class RawResponse:
    """A response as it was received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return str(json.loads(self.body)["kind"])


@dataclass
class ServiceProcess:
    """A running service: its process, its address, and the file with its standard error."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=TIMEOUT, **options)

    def post(self, content: bytes | Path, name: str = "file.jpg", **options: Any) -> httpx.Response:
        data = content if isinstance(content, bytes) else content.read_bytes()
        return self.request("POST", "/predict", files={"file": (name, data)}, **options)

    def health(self) -> str:
        return str(self.request("GET", "/health").json()["status"])

    def connect(self, sent: bytes = b"") -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        connection.sendall(sent)
        return connection

    def send(self, sent: bytes, *, half_close: bool = False) -> RawResponse:
        """Send bytes and read one response. With `half_close`, close the sending side first."""
        with self.connect(sent) as connection:
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return read_response(connection)

    def metric(self, name: str) -> float:
        lines = self.request("GET", "/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)

    def count_errors(self, kind: str) -> float:
        return self.metric(f'democlass_errors_total{{kind="{kind}"}}')

    def pending_images(self) -> float:
        return self.metric("democlass_queue_images")

    def children(self) -> set[int]:
        """Return the process ids of the decoding processes."""
        pid = self.process.pid
        lists = (task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children"))
        return {int(child) for children in lists for child in children}


@contextmanager
def run_service(
    log: Path,
    *options: str,
    tiny: bool = False,
    env: dict[str, str] | None = None,
    limits: dict[int, int] | None = None,
) -> Iterator[ServiceProcess]:
    """Run a service. `tiny` uses tiny networks and a third task. `limits` are like `{resource.RLIMIT_NOFILE: 100}`."""
    words = ["serve", "--port", "0", *options]

    def set_limits() -> None:
        for resource_type, limit in (limits or {}).items():
            resource.setrlimit(resource_type, (limit, limit))

    with log.open("wb") as stream:
        process = subprocess.Popen(
            tiny_command(*words) if tiny else command(*words),
            env=environment(**(tiny_environment(log.parent) if tiny else {}), **(env or {})),
            cwd=log.parent,
            stderr=stream,
            preexec_fn=set_limits,
        )
    try:
        address = wait_until(lambda: re.search(r"listening at (\S+)", log.read_text()) or process.poll() is not None)
        assert isinstance(address, re.Match), log.read_text()
        service = ServiceProcess(process, address[1], log)
        wait_until(lambda: service.health() == "ready")
        yield service
    finally:
        process.kill()
        process.wait()


def tiny_command(*words: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("tiny_command.py")), *words]


def tiny_environment(folder: Path) -> dict[str, str]:
    """Save checkpoints of tiny networks, and return the environment variables by which a command uses them."""
    weights = folder / "tiny-weights"
    weights.mkdir()
    save_tiny_weights(weights, (*tiny_tasks(), THIRD_TASK))
    return {"DEMOCLASS_WEIGHTS": str(weights), "DEMOCLASS_DEVICE": "cpu"}


def wait_until(find: Callable[[], Found], seconds: float = 90) -> Found:
    """Call `find` until it returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def header(method: str = "POST", path: str = "/predict", *fields: str, version: str = "1.1") -> bytes:
    """Return the header of a request."""
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: localhost", *fields, "", "")).encode()


def form_body(*contents: bytes, field: str = "file", parameters: str = '; filename="f"') -> bytes:
    """Return a form with a part for each content."""
    part = f'--b\r\nContent-Disposition: form-data; name="{field}"{parameters}\r\n\r\n'.encode()
    return b"".join(part + content + b"\r\n" for content in contents) + b"--b--\r\n"


def form_request(*contents: bytes, path: str = "/predict", fields: Sequence[str] = (), **options: str) -> bytes:
    """Return a complete request with a form."""
    body = form_body(*contents, **options)
    return header("POST", path, FORM, f"Content-Length: {len(body)}", *fields) + body


def chunked(*pieces: bytes) -> bytes:
    """Return a body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def read_response(connection: socket.socket) -> RawResponse:
    """Read one response that has a Content-Length."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return RawResponse(status, headers, stream.read(int(headers.get("content-length", 0))))


def read_until_closed(connection: socket.socket) -> bytes:
    """Read until the service closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def send_slowly(connection: socket.socket, piece: bytes, pause: float) -> bytes:
    """Send a piece again and again until the service closes the connection. Return what was received."""
    received, deadline = b"", time.monotonic() + TIMEOUT
    connection.settimeout(pause)
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() < deadline:
            connection.sendall(piece)
            with suppress(TimeoutError):
                if not (data := connection.recv(65536)):
                    return received
                received += data
        raise AssertionError("the connection stays open")
    return received


@lru_cache(maxsize=1)
def face_jpeg() -> bytes:
    """Return a small photo of a face."""
    stream = io.BytesIO()
    with Image.open(EXAMPLES / "astronaut.png") as photo:
        photo.convert("RGB").crop((60, 0, 360, 250)).save(stream, "JPEG")
    return stream.getvalue()


def slow_jpeg(scans: int = 3000) -> bytes:
    """Return a small file that is slow to decode: a progressive JPEG whose last scan is repeated.

    3000 scans take half a minute, 40 scans half a second.
    """
    content = _progressive_jpeg()
    last_scan = content.rindex(b"\xff\xda")
    return content[:last_scan] + content[last_scan:-2] * scans + content[-2:]


@lru_cache(maxsize=1)
def _progressive_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4000, 4000), "gray").save(stream, "JPEG", progressive=True)
    return stream.getvalue()
