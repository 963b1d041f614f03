"""`make bench-serve`: how many images a second the service answers, how soon, and what long use does to it.

Beside the plain service (each request alone, float32) and `classify batch` on the same images; all in turn, round after
round; figures are medians, ratios are medians of the rounds' own. Loopback alone, and everything is bounded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_sets import make_image_sets
from load import closed, form, paced
from rich.console import Console
from rich.table import Table
from variants import democlass_variant

from democlass.classifier import Classifier

HERE = Path(__file__).parent
IMAGES, REQUESTS, CLIENTS = 64, 192, 16
LONE, PACED = 20, 240


@dataclass
class Service:
    """A service that runs, as one process and its children."""

    port: int
    process: subprocess.Popen[bytes]

    def megabytes(self) -> float:
        """Return the memory that process and children hold by themselves."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sum(_own_memory(pid) for pid in (str(self.process.pid), *children))


def start(stack: ExitStack, words: Callable[[int], Sequence[str | Path]]) -> Service:
    """Start a service and wait until it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = stack.enter_context(subprocess.Popen([sys.executable, *words(port)], **silent))  # noqa: S603
    stack.callback(os.killpg, process.pid, signal.SIGKILL)  # with whatever it has started
    until = time.monotonic() + 120
    while not _ready(port):
        if time.monotonic() > until or process.poll() is not None:
            raise SystemExit(f"{words(port)} did not start")
        time.sleep(0.2)
    return Service(port, process)


def _ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
    except OSError:
        return False
    return True


def services(stack: ExitStack) -> dict[str, Service]:
    """Start all that take part."""

    def serve(*more: str) -> Callable[[int], Sequence[str]]:
        return lambda port: ["-m", "democlass", "serve", "--quiet", "--port", str(port), *more]

    found = {
        "plain service": start(stack, lambda port: ["-m", "uvicorn", "--app-dir", HERE, "plain_service:app", "--port",
                                                    str(port), "--log-level", "error"]),
        "float32": start(stack, serve()),
        "--fast": start(stack, serve("--fast")),
    }  # fmt: skip
    if importlib.util.find_spec("litserve"):
        found["LitServe, float32"] = start(stack, lambda port: [HERE / "lit_service.py", str(port)])
    return found


def measure(rounds: int, paths: Sequence[Path]) -> dict[str, Any]:
    """Return images/s of services and batches, their ratios, and latencies."""
    requests = [form(path.read_bytes()) for path in paths]
    many = [requests[number % len(requests)] for number in range(REQUESTS)]
    batches = {name: democlass_variant(Classifier.load(device="cpu", fast=fast, isolated=True))
               for name, fast in (("float32", False), ("--fast", True))}  # fmt: skip
    speeds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        running = services(stack)
        for service in running.values():
            closed(service.port, many[:32], CLIENTS)
        for contend in batches.values():
            contend(paths[:16])
        for _ in range(rounds):
            for name, service in running.items():
                seconds, answers = closed(service.port, many, CLIENTS)
                assert {answer.status for answer in answers} == {200}
                speeds.setdefault(name, []).append(len(many) / seconds)
            for name, contend in batches.items():
                spent = contend([paths[number % len(paths)] for number in range(REQUESTS)])
                speeds.setdefault(f"classify batch, {name}", []).append(REQUESTS / spent.wall)
            print({name: round(those[-1], 1) for name, those in speeds.items()}, file=sys.stderr)
        found = {name: {"images/s": statistics.median(all_), "spread": sorted(all_),
                        "to plain service": _ratio(all_, speeds["plain service"]),
                        "to classify batch": _ratio(all_, speeds.get(f"classify batch, {name.split(', ')[-1]}"))}
                 for name, all_ in speeds.items()}  # fmt: skip
        for name, service in running.items():
            found[name] |= _latencies(service, requests, speeds[name])
    return found


def soak(minutes: float, paths: Sequence[Path]) -> dict[str, Any]:
    """Return what good and bad requests, mixed, were answered with, and the memory before and after."""
    good = [form(path.read_bytes()) for path in paths]
    whole = paths[0].read_bytes()
    meant = {form(b"hello"): 415, form(b""): 422, form(whole[: len(whole) // 2]): 422, form(whole, "other"): 422,
             form(bytes(40 * 2**20)): 413, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n": 404}  # fmt: skip
    mixed = [*good, *meant] * 4
    expected = Counter(meant.get(request, 200) for request in mixed)
    statuses: Counter[int] = Counter()
    memory = []
    with ExitStack() as stack:
        service = start(stack, lambda port: ["-m", "democlass", "serve", "--quiet", "--fast", "--port", str(port)])
        until = time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            _, answers = closed(service.port, mixed, CLIENTS)
            counted = Counter(answer.status for answer in answers)
            assert counted == expected, counted
            statuses += counted
            memory.append(round(service.megabytes()))
    return {"minutes": minutes, "statuses": dict(statuses), "MB": memory}


def _latencies(service: Service, requests: Sequence[bytes], speeds: Sequence[float]) -> dict[str, float]:
    lone = [answer.seconds for answer in closed(service.port, requests[:LONE], 1)[1]]
    half = [requests[number % len(requests)] for number in range(PACED)]
    answers = paced(service.port, half, statistics.median(speeds) / 2)
    p99 = statistics.quantiles((answer.seconds for answer in answers), n=100)[98]
    alone = statistics.median(lone)
    return {"lone ms": 1000 * alone, "p99 ms at half load": 1000 * p99, "p99 to lone": p99 / alone}


def _ratio(these: Sequence[float], those: Sequence[float] | None) -> float | None:
    if those is None or these is those:
        return None
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def _own_memory(pid: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


def show(results: dict[str, Any]) -> None:
    """Print tables."""
    out = Console()
    if found := results.get("speed"):
        headings = [
            "images/s",
            "to plain service",
            "to classify batch",
            "lone ms",
            "p99 ms at half load",
            "p99 to lone",
        ]
        table = Table("", *headings, title=f"{CLIENTS} clients, {REQUESTS} requests a round")
        for name, figures in found.items():
            cells = (figures.get(heading) for heading in headings)
            table.add_row(name, *("" if cell is None else f"{cell:.{0 if cell > 50 else 2}f}" for cell in cells))
        out.print(table)
    if soaked := results.get("soak"):
        out.print(f"{soaked['minutes']} minutes of good and bad requests: {soaked['statuses']}, MB {soaked['MB']}")


def main() -> None:
    """Measure, print, write JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--soak", type=float, default=0, metavar="MINUTES", help="mixed requests for so long")
    options.add_argument("--out", type=Path, default=Path("build"), help="folder for bench-serve.json")
    asked = options.parse_args()
    results: dict[str, Any] = {"cores": os.cpu_count(), "rounds": asked.rounds}
    with tempfile.TemporaryDirectory() as folder:
        counts = {"224x224": IMAGES}
        paths = make_image_sets(Path(folder), counts)["224x224"]
        if asked.rounds:
            results["speed"] = measure(asked.rounds, paths)
        if asked.soak:
            results["soak"] = soak(asked.soak, paths)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "bench-serve.json").write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
