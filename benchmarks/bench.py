"""`make bench`: how fast democlass is, beside the plain reference and beside the networks alone.

All contenders run in turn, round after round, so that a machine whose speed drifts is fair to them all; figures are
medians, and ratios are medians of the rounds' own ratios. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from contenders import Contender, Spent, ceiling, ours, reference
from pictures import make
from show import picture, tables

from democlass.classifier import Classifier

COUNTS = {"224x224": 128, "640x480": 128, "12 megapixels": 96, "12 megapixels, upright": 96, "mixed": 120}
LINEAR = (1_000, 10_000)


def contenders(asked: argparse.Namespace) -> dict[str, Contender]:
    """Return all contenders by name."""
    found = {"reference": reference()}
    for name, fast in (("float32", False), ("--fast", True)):
        found[name] = ours(Classifier.load(device="cpu", fast=fast, isolated=True))
        found[f"{name} ceiling"] = ceiling(Classifier.load(device="cpu", fast=fast))
        if asked.threads:
            found[f"{name}, threads"] = ours(Classifier.load(device="cpu", fast=fast))
    if asked.compile:
        found["--compile"] = ours(Classifier.load(device="cpu", isolated=True, compile=True))
    return found


def measure(found: dict[str, Contender], paths: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Return each contender's images/s, its ratios to the reference and the ceiling, and where its time went."""
    for contend in found.values():  # warm up: decoders started, networks compiled, files in the page cache
        contend(paths[:16])
    spent: dict[str, list[Spent]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, contend in found.items():
            spent[name].append(contend(paths))

    def ratio(name: str, other: str) -> float | None:
        if other not in spent or other == name:
            return None
        return float(statistics.median(b.wall / a.wall for a, b in zip(spent[name], spent[other], strict=True)))

    def milliseconds(name: str, part: str) -> float:
        return 1000 * float(statistics.median(getattr(each, part) for each in spent[name])) / len(paths)

    return {
        name: {
            "images/s": statistics.median(len(paths) / each.wall for each in runs),
            "spread": sorted(len(paths) / each.wall for each in runs),
            "to reference": ratio(name, "reference"),
            "to ceiling": ratio(name, f"{name.split(',')[0]} ceiling"),
            **{field.name: milliseconds(name, field.name) for field in fields(Spent)},
            "waiting": statistics.median(each.waiting for each in runs),
        }
        for name, runs in spent.items()
    }


def linear(path: Path) -> dict[str, Any]:
    """Return what an image takes in runs of very different length: processor time, and memory afterwards."""
    contend = ours(Classifier.load(device="cpu", fast=True, isolated=True))
    contend([path] * 64)
    found = {}
    for count in LINEAR:
        spent = contend([path] * count)
        cpu = spent.networks + spent.decoding + spent.other
        found[f"{count:,}"] = {"CPU ms an image": 1000 * cpu / count, "MB": _memory("VmHWM")}
    return found


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


def _memory(mark: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(mark))) / 1000


def main() -> None:
    """Measure, print, draw, and write JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--compile", action="store_true", help="measure --compile too (a minute more)")
    options.add_argument("--threads", action="store_true", help="measure decoding in threads too")
    options.add_argument("--linear", action="store_true", help="measure long runs too (ten minutes more)")
    options.add_argument("--only", nargs="*", default=list(COUNTS), help="collections to measure")
    options.add_argument("--out", type=Path, default=Path("build"), help="folder for bench.json and bench.svg")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make(Path(folder), COUNTS)
        found = contenders(asked)
        results = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "rounds": asked.rounds,
            "counts": COUNTS,
            "collections": {name: measure(found, paths[name], asked.rounds) for name in asked.only},
            "processes": processes(paths),
            "linear": linear(paths["224x224"][0]) if asked.linear else {},
        }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    picture(results, asked.out / "bench.svg")
    tables(results)


if __name__ == "__main__":
    main()
