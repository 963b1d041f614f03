"""`make bench-serve`: measures throughput, response times and, with --soak, memory of the service.

It also measures the plain service (each request alone, float32) and `classify batch` on the same images, all in turn in
each round. Values are medians over the rounds. Ratios are computed within each round.
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
from typing import Any, TypeVar

from image_sets import make_image_sets
from load import create_request, send_at_random_times, send_in_turn
from rich.console import Console
from rich.table import Table
from variants import democlass_variant

from democlass.classifier import Classifier

Item = TypeVar("Item")

HERE = Path(__file__).parent
IMAGES, REQUESTS, CLIENTS = 64, 192, 16
SINGLE_CLIENT_REQUESTS, RANDOM_REQUESTS = 20, 240


@dataclass
class Service:
    """A running service."""

    port: int
    process: subprocess.Popen[bytes]

    def megabytes(self) -> float:
        """Return the private memory of the process and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sum(_private_memory(pid) for pid in (str(self.process.pid), *children))


def start(stack: ExitStack, words: Callable[[int], Sequence[str | Path]]) -> Service:
    """Start a service and wait until it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = stack.enter_context(subprocess.Popen([sys.executable, *words(port)], **silent))  # noqa: S603
    stack.callback(os.killpg, process.pid, signal.SIGKILL)  # with its child processes
    deadline = time.monotonic() + 120
    while not _is_ready(port):
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit(f"{words(port)} did not start")
        time.sleep(0.2)
    return Service(port, process)


def _is_ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
    except OSError:
        return False
    return True


def start_services(stack: ExitStack) -> dict[str, Service]:
    """Start all services to measure."""

    def serve_command(*options: str) -> Callable[[int], Sequence[str]]:
        return lambda port: ["-m", "democlass", "serve", "--quiet", "--port", str(port), *options]

    services = {
        "plain service": start(stack, lambda port: ["-m", "uvicorn", "--app-dir", HERE, "plain_service:app", "--port",
                                                    str(port), "--log-level", "error"]),
        "float32": start(stack, serve_command()),
        "--fast": start(stack, serve_command("--fast")),
    }  # fmt: skip
    if importlib.util.find_spec("litserve"):
        services["LitServe, float32"] = start(stack, lambda port: [HERE / "lit_service.py", str(port)])
    return services


def measure(rounds: int, paths: Sequence[Path]) -> dict[str, Any]:
    """Return images/s of services and `classify batch`, their ratios, and response times."""
    requests = [create_request(path.read_bytes()) for path in paths]
    batches = {
        f"classify batch, {name}": democlass_variant(Classifier.load(device="cpu", fast=fast, isolated=True))
        for name, fast in (("float32", False), ("--fast", True))
    }
    speeds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        running = start_services(stack)
        for service in running.values():
            send_in_turn(service.port, _repeat(requests, 32), CLIENTS)  # warm up
        for run_batch in batches.values():
            run_batch(paths[:16])
        for _ in range(rounds):
            for name, service in running.items():
                seconds, responses = send_in_turn(service.port, _repeat(requests, REQUESTS), CLIENTS)
                assert {response.status for response in responses} == {200}
                speeds.setdefault(name, []).append(REQUESTS / seconds)
            for name, run_batch in batches.items():
                speeds.setdefault(name, []).append(REQUESTS / run_batch(_repeat(paths, REQUESTS)).wall)
            print({name: round(values[-1], 1) for name, values in speeds.items()}, file=sys.stderr)
        results = {name: _summarize(name, speeds) for name in speeds}
        for name, service in running.items():
            results[name] |= _measure_response_times(service, requests, speeds[name])
    return results


def _summarize(name: str, speeds: dict[str, list[float]]) -> dict[str, Any]:
    values = speeds[name]
    return {
        "images/s": statistics.median(values),
        "spread": sorted(values),
        "to plain service": _ratio(values, speeds["plain service"]),
        "to classify batch": _ratio(values, speeds.get(f"classify batch, {name.split(', ')[-1]}")),
    }


def _repeat(items: Sequence[Item], count: int) -> list[Item]:
    return [items[number % len(items)] for number in range(count)]


def soak(minutes: float, paths: Sequence[Path]) -> dict[str, Any]:
    """Send valid and invalid requests for some minutes. Return the statuses and the memory in MB after each round."""
    valid = [create_request(path.read_bytes()) for path in paths]
    image = paths[0].read_bytes()
    invalid = {
        create_request(b"hello"): 415,
        create_request(b""): 422,
        create_request(image[: len(image) // 2]): 422,
        create_request(image, "other"): 422,
        create_request(bytes(40 * 2**20)): 413,
        b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n": 404,
    }
    mixed = [*valid, *invalid] * 4
    expected = Counter(invalid.get(request, 200) for request in mixed)
    statuses: Counter[int] = Counter()
    memory = []
    with ExitStack() as stack:
        service = start(stack, lambda port: ["-m", "democlass", "serve", "--quiet", "--fast", "--port", str(port)])
        deadline = time.monotonic() + 60 * minutes
        while time.monotonic() < deadline:
            _, responses = send_in_turn(service.port, mixed, CLIENTS)
            statuses_of_round = Counter(response.status for response in responses)
            assert statuses_of_round == expected, statuses_of_round
            statuses += statuses_of_round
            memory.append(round(service.megabytes()))
    return {"minutes": minutes, "statuses": dict(statuses), "MB": memory}


def _measure_response_times(service: Service, requests: Sequence[bytes], speeds: Sequence[float]) -> dict[str, float]:
    single = [response.seconds for response in send_in_turn(service.port, requests[:SINGLE_CLIENT_REQUESTS], 1)[1]]
    half_load = statistics.median(speeds) / 2
    responses = send_at_random_times(service.port, _repeat(requests, RANDOM_REQUESTS), half_load)
    p99 = statistics.quantiles((response.seconds for response in responses), n=100)[98]
    median = statistics.median(single)
    return {"one client, ms": 1000 * median, "p99 at half load, ms": 1000 * p99, "p99 to one client": p99 / median}


def _ratio(values: Sequence[float], baseline: Sequence[float] | None) -> float | None:
    if baseline is None or values is baseline:
        return None
    return statistics.median(a / b for a, b in zip(values, baseline, strict=True))


def _private_memory(pid: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


def print_results(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    out = Console()
    if speed := results.get("speed"):
        headings = [
            "images/s",
            "to plain service",
            "to classify batch",
            "one client, ms",
            "p99 at half load, ms",
            "p99 to one client",
        ]
        table = Table("", *headings, title=f"{CLIENTS} clients, {REQUESTS} requests a round")
        for name, values in speed.items():
            cells = (values.get(heading) for heading in headings)
            table.add_row(name, *("" if cell is None else f"{cell:.{0 if cell > 50 else 2}f}" for cell in cells))
        out.print(table)
    if soak := results.get("soak"):
        out.print(f"{soak['minutes']} minutes of valid and invalid requests: {soak['statuses']}, MB {soak['MB']}")


def main() -> None:
    """Measure, print the results and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--soak", type=float, default=0, metavar="MINUTES", help="send valid and invalid requests for this time"
    )
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for bench-serve.json")
    options = parser.parse_args()
    results: dict[str, Any] = {"cores": os.cpu_count(), "rounds": options.rounds}
    with tempfile.TemporaryDirectory() as folder:
        counts = {"224x224": IMAGES}
        paths = make_image_sets(Path(folder), counts)["224x224"]
        if options.rounds:
            results["speed"] = measure(options.rounds, paths)
        if options.soak:
            results["soak"] = soak(options.soak, paths)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench-serve.json").write_text(json.dumps(results, indent=2) + "\n")
    print_results(results)


if __name__ == "__main__":
    main()
