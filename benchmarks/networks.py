"""How much fusion, streams and the batch size matter: the networks alone, on tensors that are already in memory.

    python benchmarks/networks.py --rounds 5

All variants run in turn, round after round. The tables show medians, and ratios to the default.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from unittest.mock import patch

from rich.console import Console
from rich.table import Table
from variants import Variant, ceiling_variant

from democlass.classifier import Classifier
from democlass.networks.fusion import is_fusible
from democlass.networks.networks import CPU_BATCH

DEFAULT = "default"
IMAGES = [Path()] * 96


def make_variant(*, fast: bool, batch: int = CPU_BATCH, fused: bool = True, streams: bool = True) -> Variant:
    """Return the networks in one precision, built in one way."""
    with patch("democlass.networks.networks.is_fusible", is_fusible if fused else lambda *_: False):
        classifier = Classifier.load(device="cpu", fast=fast, batch_size=batch, isolated=False)
    if not streams:
        classifier.networks.streams = 1
    return ceiling_variant(classifier)


def make_variants(*, fast: bool) -> dict[str, Variant]:
    """Return all variants of one precision by name."""
    return {
        DEFAULT: make_variant(fast=fast),
        "batches of 1": make_variant(fast=fast, batch=1),
        "batches of 2": make_variant(fast=fast, batch=2),
        "batches of 4": make_variant(fast=fast, batch=4),
        "batches of 16": make_variant(fast=fast, batch=16),
        "without fusion": make_variant(fast=fast, fused=False),
        "one stream": make_variant(fast=fast, streams=False),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each variant runs")
    options = parser.parse_args()
    console = Console()
    for precision, fast in (("float32", False), ("bfloat16", True)):
        variants = make_variants(fast=fast)
        speeds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(options.rounds):
            for name, time_run in variants.items():
                speeds[name].append(len(IMAGES) / time_run(IMAGES).wall)
        table = Table(precision, "images/s", "to the default")
        for name, rounds in speeds.items():
            ratio = statistics.median(a / b for a, b in zip(rounds, speeds[DEFAULT], strict=True))
            table.add_row(name, f"{statistics.median(rounds):.1f}", f"{ratio:.2f}")
        console.print(table)


if __name__ == "__main__":
    main()
