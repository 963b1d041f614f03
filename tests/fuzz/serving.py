"""Hostile requests to a real service, which must go on as if nothing had been."""

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
from fuzz.http_requests import HALF_CLOSE, RESET, Request, request, sound_upload
from fuzz.seeds import seeds

CLIENTS = 6
_ANSWER_SECONDS = 60.0
"""In which every request is answered, or its connection closed."""

_START_SECONDS, _END_SECONDS, _HEALTH_SECONDS = 180.0, 30.0, 20.0
_MOST_LOG = 300
"""Bytes that the log may grow by for each request, on average: a few lines."""

_MOST_ANSWER = 2**20
_SPARE_DESCRIPTORS = 40
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_ALLOWED_5XX = {501, 503, 505}
"""Not built, busy, a version of HTTP that is not spoken: said on purpose. 500 never is."""


@dataclass
class Served:
    """What came of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    log_bytes: int = 0
    slowest: float = 0.0


class Service:
    """A `classify serve` that runs on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "log"
        words = ["-m", "democlass", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DEMOCLASS_")}
        environment["PYTHONPATH"] = str(Path(democlass.__file__).parents[1])  # this one, whatever is installed
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd=folder
            )

    def connect(self, seconds: float) -> socket.socket:
        """Return a new connection whose calls take so many seconds at most."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def ask(self, content: bytes, seconds: float) -> int:
        """Return the status of the answer to a request that is in order; 0 where there is none."""
        try:
            with self.connect(seconds) as connection:
                connection.sendall(content)
                found = _STATUS.match(connection.recv(2**16))
        except OSError:
            return 0
        return int(found[1]) if found else 0

    def is_healthy(self, seconds: float = _HEALTH_SECONDS) -> bool:
        """Whether /health answers in time that both networks do."""
        return self.ask(b"GET /health HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n", seconds) == 200

    def wait_until_healthy(self) -> None:
        """Wait for the networks. Raises RuntimeError where the service ends, or takes too long."""
        until = time.monotonic() + _START_SECONDS
        while not self.is_healthy(5):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the service does not start: {self.log.read_text(errors='replace')[-500:]}")
            time.sleep(0.5)

    def descriptors(self) -> int:
        """Return how many files and connections the service has open; 0 where the system does not say."""
        with contextlib.suppress(OSError):
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return 0

    def children(self) -> list[int]:
        """Return the service's own processes; none where the system does not say."""
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(file.read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    found.append(int(file.parent.name))
        return found


@contextlib.contextmanager
def serving() -> Iterator[Service]:
    """Run a service meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder))
        try:
            service.wait_until_healthy()
            yield service
        finally:
            service.process.kill()
            service.process.wait()


def run(seed: int, numbers: Iterable[int], findings: Findings, progress: Callable[[int], object]) -> Served:
    """Send the requests with these numbers, several at once, then see whether the service is as before."""
    served, lock, todo = Served(), threading.Lock(), iter(numbers)
    with serving() as service:
        upload = sound_upload(seeds()["JPEG"][0], "Connection: close")
        if service.ask(upload, _ANSWER_SECONDS) != 200:
            findings.add("a sound image is not classified before anything else", {}, upload)
        before = service.descriptors()

        def work() -> None:
            while service.process.poll() is None:
                with lock:
                    number = next(todo, None)
                if number is None:
                    return
                case = request(seed, number)
                began = time.monotonic()
                answer, seen = _send(service, case)
                seconds = time.monotonic() - began
                wrong = judge(case, answer, seen)
                if number % 10 == 9 and not service.is_healthy():
                    wrong = wrong or "/health does not answer"
                with lock:
                    served.statuses[seen] += 1
                    served.slowest = max(served.slowest, seconds)
                if wrong is not None:
                    findings.add(wrong, {"answer": answer[:300].decode(errors="replace")}, case.content, case)
                progress(1)

        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(work) for _ in range(CLIENTS)]:
                done.result()
        _check_afterwards(service, sum(served.statuses.values()), before, upload, findings)
        served.log_bytes = service.log.stat().st_size
    return served


def judge(case: Request, answer: bytes, seen: str) -> str | None:
    """Return what is wrong with an answer; None where nothing is."""
    for status in map(int, _STATUS.findall(answer)):
        if status >= 500 and status not in _ALLOWED_5XX:
            return f"answered {status}"
    if b"Traceback" in answer:
        return "an answer with a traceback"
    if seen == "no answer in time" and case.ending == HALF_CLOSE:
        return "neither answered nor closed in time"
    return None


def _check_afterwards(service: Service, count: int, before: int, upload: bytes, findings: Findings) -> None:
    log = service.log.read_bytes()
    if service.process.poll() is not None:
        findings.add("the service ended", {"status": service.process.returncode, "log": log[-500:].decode()}, b"")
        return
    if not service.is_healthy() or service.ask(upload, _ANSWER_SECONDS) != 200:
        findings.add("a sound image is not classified any more", {}, upload)
    if len(log) > _MOST_LOG * max(count, 20):
        findings.add("the log grows too much", {"bytes": len(log), "requests": count}, log[-10_000:])
    if b"Traceback" in log:
        findings.add("a traceback in the log", {}, log[log.index(b"Traceback") :][:10_000])
    until = time.monotonic() + _ANSWER_SECONDS
    while before and (now := service.descriptors()) > before + _SPARE_DESCRIPTORS:
        if time.monotonic() > until:
            findings.add("connections or files stay open", {"before": before, "after": now}, b"")
            break
        time.sleep(0.5)
    children = service.children()
    service.process.send_signal(signal.SIGTERM)
    try:
        service.process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        findings.add("SIGTERM does not end the service", {}, b"")
    time.sleep(1)
    left = [child for child in children if Path(f"/proc/{child}").exists()]
    if left:
        findings.add("a process of the service is left behind", {"processes": left}, b"")


def _send(service: Service, case: Request) -> tuple[bytes, str]:
    """Return what was answered, and in a word what was seen."""
    answer = b""
    try:
        with service.connect(_ANSWER_SECONDS) as connection:
            with contextlib.suppress(ConnectionError):  # the service may close before it has heard everything
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
                connection.settimeout(8)  # a client that keeps its side open may be waited for, but not by us
            while len(answer) < _MOST_ANSWER and (piece := connection.recv(2**16)):
                answer += piece
                if case.ending != HALF_CLOSE:
                    connection.settimeout(1)
    except TimeoutError:
        return answer, _first_status(answer) or "no answer in time"
    except OSError:
        return answer, _first_status(answer) or "closed"
    return answer, _first_status(answer) or "closed"


def _first_status(answer: bytes) -> str | None:
    found = _STATUS.match(answer)
    return found[1].decode() if found else None
