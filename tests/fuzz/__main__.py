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

from fuzz import images, serving
from fuzz.findings import Findings

IMAGES, REQUESTS = 20_000, 500


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


def main(words: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 where anything was found."""
    options = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    options.add_argument("--seed", type=int, help="what all chance comes from; a new one each time")
    options.add_argument("--images", type=int, default=IMAGES, help=f"damaged images to decode: {IMAGES}")
    options.add_argument("--requests", type=int, default=REQUESTS, help=f"hostile requests to send: {REQUESTS}")
    options.add_argument("--image", type=int, nargs="+", metavar="N", help="decode the images with these numbers alone")
    options.add_argument("--request", type=int, nargs="+", metavar="N", help="send the requests with these alone")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="images decoded at once")
    options.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder for findings: build/fuzz")
    asked = options.parse_args(words)
    alone = asked.image or asked.request
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    say(f"seed {seed}")
    findings = Findings(asked.out, seed)
    if numbers := (asked.image or []) if alone else range(asked.images):
        fuzz_images(seed, numbers, asked.workers, findings)
    if numbers := (asked.request or []) if alone else range(asked.requests):
        fuzz_service(seed, numbers, findings)
    say("\n".join(["findings:", *findings.lines()]) if findings.kinds else "nothing was found")
    return 1 if findings.kinds else 0


def fuzz_images(seed: int, numbers: Sequence[int], workers: int, findings: Findings) -> None:
    """Decode damaged images, and say how it went."""
    progress = Progress("images", 1000)
    state = images.run(seed, numbers, workers, findings, progress)
    say(f"{len(numbers)} images in {progress.seconds:.0f} s; slowest {state.slowest:.1f} s, "
        f"most memory {state.memory / 1000:.0f} MB")  # fmt: skip
    say_counts(state.outcomes)


def fuzz_service(seed: int, numbers: Sequence[int], findings: Findings) -> None:
    """Send hostile requests, and say how it went."""
    progress = Progress("requests", 100)
    served = serving.run(seed, numbers, findings, progress)
    say(
        f"{len(numbers)} requests in {progress.seconds:.0f} s; slowest {served.slowest:.1f} s, "
        f"log {served.log_bytes} bytes"
    )
    say_counts(served.statuses)


def say_counts(counts: Counter[str]) -> None:
    """Print what came how often."""
    say("\n".join(f"  {count} x {what}" for what, count in counts.most_common()))


class Progress:
    """Says every so often how many are done."""

    def __init__(self, what: str, every: int) -> None:
        self._what, self._every, self._done, self._began = what, every, 0, time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Count some more."""
        with self._lock:
            self._done += count
            if self._done % self._every == 0:
                say(f"  {self._done} {self._what}, {self.seconds:.0f} s")

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began


if __name__ == "__main__":
    sys.exit(main())
