"""Run the fuzzer: `make fuzz`, or `make fuzz FUZZ="--seed 7 --images 2000 --requests 100"`."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fuzz import images, service
from fuzz.findings import Findings

IMAGES, REQUESTS = 20_000, 500


def write(text: str) -> None:
    """Print a line and flush it."""
    print(text, flush=True)  # noqa: T201


def main(words: Sequence[str] | None = None) -> int:
    """Run the fuzzer and return 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, help="random seed; default: a new one for each run")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"damaged images to decode; default: {IMAGES}")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"hostile requests; default: {REQUESTS}")
    parser.add_argument("--image", type=int, nargs="+", metavar="N", help="decode only the images with these numbers")
    parser.add_argument("--request", type=int, nargs="+", metavar="N", help="send only the requests with these numbers")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="images decoded at once")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder for findings; default: build/fuzz")
    options = parser.parse_args(words)
    is_selection = options.image or options.request
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    write(f"seed {seed}")
    findings = Findings(options.out, seed)
    if numbers := (options.image or []) if is_selection else range(options.images):
        fuzz_images(seed, numbers, options.workers, findings)
    if numbers := (options.request or []) if is_selection else range(options.requests):
        fuzz_service(seed, numbers, findings)
    write("\n".join(["findings:", *findings.summary()]) if findings.kinds else "no findings")
    return 1 if findings.kinds else 0


def fuzz_images(seed: int, numbers: Sequence[int], workers: int, findings: Findings) -> None:
    """Decode damaged images and print a summary."""
    progress = Progress("images", 1000)
    run = images.run(seed, numbers, workers, findings, progress)
    write(f"{len(numbers)} images in {progress.seconds:.0f} s; slowest {run.slowest:.1f} s, "
          f"peak memory {run.memory / 1000:.0f} MB")  # fmt: skip
    write_counts(run.outcomes)


def fuzz_service(seed: int, numbers: Sequence[int], findings: Findings) -> None:
    """Send hostile requests and print a summary."""
    progress = Progress("requests", 100)
    run = service.run(seed, numbers, findings, progress)
    write(
        f"{len(numbers)} requests in {progress.seconds:.0f} s; slowest {run.slowest:.1f} s, log {run.log_bytes} bytes"
    )
    write_counts(run.statuses)


def write_counts(counts: Counter[str]) -> None:
    """Print outcomes and how often they occurred."""
    write("\n".join(f"  {count} x {outcome}" for outcome, count in counts.most_common()))


class Progress:
    """Counts finished cases and prints a line after every `interval` of them."""

    def __init__(self, unit: str, interval: int) -> None:
        self._unit, self._interval, self._done, self._started = unit, interval, 0, time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Add finished cases."""
        with self._lock:
            self._done += count
            if self._done % self._interval == 0:
                write(f"  {self._done} {self._unit}, {self.seconds:.0f} s")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started


if __name__ == "__main__":
    sys.exit(main())
