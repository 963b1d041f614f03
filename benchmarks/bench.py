"""`make bench`: how fast democlass is, beside the plain reference and beside the networks alone.

All contenders run in turn, round after round, so that a machine whose speed drifts is fair to them all; figures are
medians, and ratios are medians of the rounds' own ratios. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pictures import make
from reference import Reference
from rich.console import Console
from rich.table import Table

from democlass.classifier import Classifier
from democlass.pipeline import run
from democlass.tally import Tally
from democlass.writers import CsvWriter, Shape

COUNTS = {"224x224": 64, "640x480": 64, "12 megapixels": 48, "mixed": 60}
Contender = Callable[[Sequence[Path]], float]


def ours(classifier: Classifier) -> Contender:
    """Return a contender: a whole run, from files to CSV, and the seconds it waited for data."""
    spent = 0.0
    predict = classifier.networks.predict

    def timed(batch: Any) -> Any:
        nonlocal spent
        began = time.perf_counter()
        answer = predict(batch)
        spent += time.perf_counter() - began
        return answer

    classifier.networks.predict = timed  # type: ignore[method-assign]

    def contend(paths: Sequence[Path]) -> float:
        nonlocal spent
        spent = 0.0
        began = time.perf_counter()
        writer = CsvWriter(io.BytesIO(), Shape())
        run(map(str, paths), classifier, writer.write, Tally())
        return time.perf_counter() - began - spent

    return contend


def ceiling(classifier: Classifier) -> Contender:
    """Return a contender: the same networks, batch and precision on tensors that are ready."""
    batch = classifier.networks.new_batch()
    for pixels in batch.values():
        pixels.random_(0, 256)

    def contend(paths: Sequence[Path]) -> float:
        for _ in range(-(-len(paths) // classifier.networks.batch_size)):
            classifier.networks.predict(batch)
        return 0.0

    return contend


def contenders(compiled: bool) -> dict[str, Contender]:
    """Return all contenders by name."""
    reference = Reference()

    def plain(paths: Sequence[Path]) -> float:
        reference.classify(paths)
        return 0.0

    found: dict[str, Contender] = {"reference": plain}
    for name, fast in (("float32", False), ("--fast", True)):
        found[name] = ours(Classifier.load(device="cpu", fast=fast, isolated=True))
        found[f"{name}, threads"] = ours(Classifier.load(device="cpu", fast=fast))
        found[f"{name} ceiling"] = ceiling(Classifier.load(device="cpu", fast=fast))
    if compiled:
        found["--compile"] = ours(Classifier.load(device="cpu", isolated=True, compile=True))
    return found


def measure(found: dict[str, Contender], paths: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Return each contender's images/s (median), its ratio to the reference and the ceiling, its wait for data."""
    for contend in found.values():  # warm up: decoders started, networks compiled, files in the page cache
        contend(paths[:16])
    speeds: dict[str, list[float]] = {name: [] for name in found}
    waits: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, contend in found.items():
            began = time.perf_counter()
            waits[name].append(contend(paths))
            speeds[name].append(len(paths) / (time.perf_counter() - began))

    def ratio(name: str, other: str) -> float | None:
        if other not in speeds:
            return None
        return statistics.median(a / b for a, b in zip(speeds[name], speeds[other], strict=True))

    return {
        name: {
            "images/s": statistics.median(values),
            "spread": [min(values), max(values)],
            "to reference": ratio(name, "reference"),
            "to ceiling": ratio(name, f"{name.split(',')[0]} ceiling"),
            "waiting s": statistics.median(waits[name]),
        }
        for name, values in speeds.items()
    }


def processes(paths: dict[str, list[Path]]) -> dict[str, Any]:
    """Return the seconds and peak memory of whole processes."""
    words = {
        "--help": ["--help"],
        "one image": [str(paths["224x224"][0])],
        "12 megapixels, batch": ["batch", *map(str, paths["12 megapixels"]), "--quiet"],
    }
    return {name: _process([sys.executable, "-c", WITH_PEAK, *more]) for name, more in words.items()}


# The kernel hands a child its parent's peak on; the high-water mark of its own memory map is its own.
WITH_PEAK = """
import atexit, sys
def peak():
    status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak kB:", status["VmHWM"].split()[0], file=sys.stderr)
atexit.register(peak)
from democlass.cli import main
main()
"""


def _process(words: Sequence[str]) -> dict[str, float]:
    runs = []
    for _ in range(3):
        began = time.perf_counter()
        said = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr  # noqa: S603
        runs.append((time.perf_counter() - began, int(said.split()[-1]) / 1000))
    return {"s": statistics.median(s for s, _ in runs), "peak MB": statistics.median(mb for _, mb in runs)}


def show(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    out = Console()
    for collection, rows in results["collections"].items():
        table = Table(title=collection, title_justify="left")
        for heading in ("", "images/s", "to reference", "of the ceiling", "waiting for data"):
            table.add_column(heading, justify="left" if not heading else "right")
        for name, row in rows.items():
            to_reference, to_ceiling = (f"{row[key]:.2f}" if row[key] else "" for key in ("to reference", "to ceiling"))
            table.add_row(name, f"{row['images/s']:.1f}", to_reference, to_ceiling, f"{row['waiting s']:.2f} s")
        out.print(table)
    for name, row in results["processes"].items():
        out.print(f"{name}: {row['s']:.2f} s, peak {row['peak MB']:.0f} MB")


def main() -> None:
    """Measure, print, and write JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--compile", action="store_true", help="measure --compile too (a minute more)")
    options.add_argument("--only", nargs="*", default=list(COUNTS), help="collections to measure")
    options.add_argument("--json", type=Path, default=Path("build/bench.json"))
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make(Path(folder), COUNTS)
        found = contenders(asked.compile)
        results = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "rounds": asked.rounds,
            "collections": {name: measure(found, paths[name], asked.rounds) for name in asked.only},
            "processes": processes(paths),
        }
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
