"""`make bench`: the speed of democlass, compared with the plain reference and with the networks alone.

All variants run in turn, round after round, so that a change in the machine's speed affects all of them. Figures are
medians, and ratios are medians of the ratios within each round. Run nothing else meanwhile.
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
from bench_report import draw_chart, print_tables
from image_sets import make_image_sets, make_photos
from variants import Timing, Variant, ceiling_variant, democlass_variant, reference_variant

from democlass.classifier import Classifier

PHOTOS = "photos with one face, 1 to 3 megapixels"
COUNTS = {PHOTOS: 60, "224x224": 128, "640x480": 128, "12 megapixels": 96, "12 megapixels, upright": 96, "mixed": 120}
LINEAR_COUNTS = (1_000, 10_000)


def make_variants(options: argparse.Namespace) -> dict[str, Variant]:
    """Return all variants by name."""
    variants = {"reference": reference_variant()}
    for name, fast in (("float32", False), ("--fast", True)):
        variants[name] = democlass_variant(Classifier.load(device="cpu", fast=fast))
        variants[f"{name} ceiling"] = ceiling_variant(Classifier.load(device="cpu", fast=fast, isolated=False))
        if options.threads:
            variants[f"{name}, threads"] = democlass_variant(Classifier.load(device="cpu", fast=fast, isolated=False))
    if options.compile:
        variants["--compile"] = democlass_variant(Classifier.load(device="cpu", compile=True))
    return variants


def make_face_variants(options: argparse.Namespace) -> dict[str, Variant]:
    """Return the variants for whole photos by name: with face detection and without."""
    variants = {}
    for name, fast in (("float32", False), ("--fast", True)):
        variants[name] = democlass_variant(Classifier.load(device="cpu", fast=fast))
        for face_size in options.face_sizes:
            classifier = Classifier.load(device="cpu", fast=fast, faces=True, face_size=face_size)
            variants[f"{name}, --faces, {face_size} px"] = democlass_variant(classifier)
    return variants


def measure(variants: dict[str, Variant], paths: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Return for each variant its images/s, its ratios to the reference and the ceiling, and its processor time."""
    for time_run in variants.values():  # warm up: start decoders, compile networks, read files into the page cache
        time_run(paths[:16])
    timings: dict[str, list[Timing]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, time_run in variants.items():
            timings[name].append(time_run(paths))

    def ratio(name: str, other: str) -> float | None:
        if other not in timings or other == name:
            return None
        return float(statistics.median(b.wall / a.wall for a, b in zip(timings[name], timings[other], strict=True)))

    def milliseconds_per_image(name: str, part: str) -> float:
        return 1000 * float(statistics.median(getattr(timing, part) for timing in timings[name])) / len(paths)

    return {
        name: {
            "images/s": statistics.median(len(paths) / timing.wall for timing in runs),
            "spread": sorted(len(paths) / timing.wall for timing in runs),
            "to reference": ratio(name, "reference"),
            "to ceiling": ratio(name, f"{name.split(',')[0]} ceiling"),
            "to no faces": ratio(name, name.split(",")[0]) if "--faces" in name else None,
            **{field.name: milliseconds_per_image(name, field.name) for field in fields(Timing)},
            "waiting": statistics.median(timing.waiting for timing in runs),
        }
        for name, runs in timings.items()
    }


def measure_linearity(path: Path) -> dict[str, Any]:
    """Return the processor time per image and the peak memory of runs with very different numbers of images."""
    time_run = democlass_variant(Classifier.load(device="cpu", fast=True))
    time_run([path] * 64)
    results = {}
    for count in LINEAR_COUNTS:
        timing = time_run([path] * count)
        processor = timing.networks + timing.decoding + timing.other
        results[f"{count:,}"] = {"CPU ms an image": 1000 * processor / count, "MB": _peak_megabytes()}
    return results


def measure_processes(paths: dict[str, list[Path]]) -> dict[str, Any]:
    """Return the seconds and the peak memory of whole processes."""
    arguments = {
        "--help": ["--help"],
        "one image": [str(paths["224x224"][0])],
        "12 megapixels, batch": ["batch", *map(str, paths["12 megapixels"]), "--quiet"],
    }
    return {name: _run_process([sys.executable, "-c", WITH_PEAK, *words]) for name, words in arguments.items()}


# A child process inherits its parent's peak in getrusage. The high-water mark of its own memory map is its own.
WITH_PEAK = """
import atexit, sys
def print_peak():
    status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak kB:", status["VmHWM"].split()[0], file=sys.stderr)
atexit.register(print_peak)
from democlass.cli import main
main()
"""


def _run_process(words: Sequence[str]) -> dict[str, float]:
    runs = []
    for _ in range(3):
        began = time.perf_counter()
        process = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603
        runs.append((time.perf_counter() - began, int(process.stderr.split()[-1]) / 1000))
    return {
        "s": statistics.median(seconds for seconds, _ in runs),
        "peak MB": statistics.median(megabytes for _, megabytes in runs),
    }


def _peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1000


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each variant runs")
    parser.add_argument("--compile", action="store_true", help="also measure --compile (one more minute)")
    parser.add_argument("--threads", action="store_true", help="also measure decoding in threads")
    parser.add_argument("--linear", action="store_true", help="also measure long runs (ten more minutes)")
    parser.add_argument("--only", nargs="*", default=list(COUNTS), help="image sets to measure")
    parser.add_argument("--face-sizes", type=int, nargs="*", default=[640, 960], help="--face-size, for photos")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for bench.json and bench.svg")
    return parser.parse_args()


def main() -> None:
    """Measure, print tables, draw a chart, and write JSON."""
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_image_sets(Path(folder), COUNTS) | {PHOTOS: make_photos(Path(folder), COUNTS[PHOTOS])}
        only = [name for name in options.only if name != PHOTOS]
        variants = make_variants(options) if only else {}
        collections = {name: measure(variants, paths[name], options.rounds) for name in only}
        if PHOTOS in options.only:
            collections[PHOTOS] = measure(make_face_variants(options), paths[PHOTOS], options.rounds)
        results = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "rounds": options.rounds,
            "counts": COUNTS,
            "collections": collections,
            "processes": measure_processes(paths) if only else {},
            "linear": measure_linearity(paths["224x224"][0]) if options.linear else {},
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    draw_chart(results, options.out / "bench.svg")
    print_tables(results)


if __name__ == "__main__":
    main()
