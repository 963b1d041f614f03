"""Sends hostile requests to a real service, and checks that it keeps working."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import democlass
from fuzz.findings import Findings
from fuzz.http_requests import HALF_CLOSE, RESET, Request, request, valid_upload
from fuzz.seeds import seeds

CLIENTS = 6
_RESPONSE_TIMEOUT = 60.0
"""Seconds within which the service must send a response or close the connection."""

_START_TIMEOUT, _STOP_TIMEOUT, _HEALTH_TIMEOUT = 180.0, 30.0, 20.0
_MAX_LOG_BYTES = 300
"""Maximum average size of the log per request: a few lines."""

_MAX_RESPONSE = 2**20
_DESCRIPTOR_TOLERANCE = 40
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_ALLOWED_5XX = {501, 503, 505}
"""Expected errors: not implemented, busy, unsupported HTTP version. 500 is always a finding."""


@dataclass
class ServiceRun:
    """The results so far. `slowest` is in seconds."""

    statuses: Counter[str] = field(default_factory=Counter)
    log_bytes: int = 0
    slowest: float = 0.0


class Service:
    """A `classify serve` process on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "log"
        words = ["-m", "democlass", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DEMOCLASS_")}
        environment["PYTHONPATH"] = str(
            Path(democlass.__file__).parents[1]
        )  # this source tree, not an installed package
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd=folder
            )

    def connect(self, seconds: float) -> socket.socket:
        """Return a new connection with a timeout in seconds."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def request_status(self, content: bytes, seconds: float) -> int:
        """Send a valid request and return the status of the response, or 0 if there is none."""
        try:
            with self.connect(seconds) as connection:
                connection.sendall(content)
                match = _STATUS.match(connection.recv(2**16))
        except OSError:
            return 0
        return int(match[1]) if match else 0

    def is_healthy(self, seconds: float = _HEALTH_TIMEOUT) -> bool:
        """Tell whether /health returns 200 in time."""
        return self.request_status(b"GET /health HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n", seconds) == 200

    def wait_until_healthy(self) -> None:
        """Wait until the service is ready. Raises RuntimeError if it ends or takes too long."""
        deadline = time.monotonic() + _START_TIMEOUT
        while not self.is_healthy(5):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start: {self.log.read_text(errors='replace')[-500:]}")
            time.sleep(0.5)

    def descriptors(self) -> int:
        """Return the number of open files and connections of the service, or 0 if it is unknown."""
        with contextlib.suppress(OSError):
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return 0

    def children(self) -> list[int]:
        """Return the process ids of the service's child processes, or none if they are unknown."""
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(file.read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    found.append(int(file.parent.name))
        return found


@contextlib.contextmanager
def run_service() -> Iterator[Service]:
    """Run a service inside this context."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder))
        try:
            service.wait_until_healthy()
            yield service
        finally:
            service.process.kill()
            service.process.wait()


def run(seed: int, numbers: Iterable[int], findings: Findings, progress: Callable[[int], object]) -> ServiceRun:
    """Send the requests with these numbers, several at once, then check that the service still works."""
    run_state, lock, todo = ServiceRun(), threading.Lock(), iter(numbers)
    with run_service() as service:
        upload = valid_upload(seeds()["JPEG"][0], "Connection: close")
        if service.request_status(upload, _RESPONSE_TIMEOUT) != 200:
            findings.add("a valid image is not classified at the start", {}, upload)
        before = service.descriptors()

        def work() -> None:
            while service.process.poll() is None:
                with lock:
                    number = next(todo, None)
                if number is None:
                    return
                case = request(seed, number)
                started = time.monotonic()
                response, outcome = _send(service, case)
                seconds = time.monotonic() - started
                problem = find_problem(case, response, outcome)
                if number % 10 == 9 and not service.is_healthy():
                    problem = problem or "/health does not respond"
                with lock:
                    run_state.statuses[outcome] += 1
                    run_state.slowest = max(run_state.slowest, seconds)
                if problem is not None:
                    findings.add(problem, {"answer": response[:300].decode(errors="replace")}, case.content, case)
                progress(1)

        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(work) for _ in range(CLIENTS)]:
                done.result()
        _check_service(service, sum(run_state.statuses.values()), before, upload, findings)
        run_state.log_bytes = service.log.stat().st_size
    return run_state


def find_problem(case: Request, response: bytes, outcome: str) -> str | None:
    """Return what is wrong with a response, or None."""
    for status in map(int, _STATUS.findall(response)):
        if status >= 500 and status not in _ALLOWED_5XX:
            return f"status {status}"
    if b"Traceback" in response:
        return "a response with a traceback"
    if outcome == "no response in time" and case.ending == HALF_CLOSE:
        return "no response, and the connection was not closed in time"
    return None


def _check_service(service: Service, count: int, before: int, upload: bytes, findings: Findings) -> None:
    log = service.log.read_bytes()
    if service.process.poll() is not None:
        findings.add("the service ended", {"status": service.process.returncode, "log": log[-500:].decode()}, b"")
        return
    if not service.is_healthy() or service.request_status(upload, _RESPONSE_TIMEOUT) != 200:
        findings.add("a valid image is not classified at the end", {}, upload)
    if len(log) > _MAX_LOG_BYTES * max(count, 20):
        findings.add("the log grows too much", {"bytes": len(log), "requests": count}, log[-10_000:])
    if b"Traceback" in log:
        findings.add("a traceback in the log", {}, log[log.index(b"Traceback") :][:10_000])
    deadline = time.monotonic() + _RESPONSE_TIMEOUT
    while before and (now := service.descriptors()) > before + _DESCRIPTOR_TOLERANCE:
        if time.monotonic() > deadline:
            findings.add("connections or files were not closed", {"before": before, "after": now}, b"")
            break
        time.sleep(0.5)
    children = service.children()
    service.process.send_signal(signal.SIGTERM)
    try:
        service.process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        findings.add("SIGTERM did not end the service", {}, b"")
    time.sleep(1)
    left = [child for child in children if Path(f"/proc/{child}").exists()]
    if left:
        findings.add("a child process of the service is left", {"processes": left}, b"")


def _send(service: Service, case: Request) -> tuple[bytes, str]:
    """Send a request. Return the response, and its status or another short outcome."""
    response = b""
    try:
        with service.connect(_RESPONSE_TIMEOUT) as connection:
            with contextlib.suppress(ConnectionError):  # the service may close before it has received everything
                for piece, pause in case.pieces:
                    connection.sendall(piece)
                    time.sleep(pause)
            if case.ending == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b"", "reset"
            if case.ending == HALF_CLOSE:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            else:
                connection.settimeout(8)  # the service may wait for the client to close, but the fuzzer does not
            while len(response) < _MAX_RESPONSE and (piece := connection.recv(2**16)):
                response += piece
                if case.ending != HALF_CLOSE:
                    connection.settimeout(1)
    except TimeoutError:
        return response, _first_status(response) or "no response in time"
    except OSError:
        return response, _first_status(response) or "closed"
    return response, _first_status(response) or "closed"


def _first_status(response: bytes) -> str | None:
    match = _STATUS.match(response)
    return match[1].decode() if match else None
