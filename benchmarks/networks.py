"""What fusion, streams and the batch size bring: the networks alone, on tensors that are ready.

    python benchmarks/networks.py --rounds 5

All variants in turn, round after round; medians, and ratios to the way that is used.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from unittest.mock import patch

from contenders import Contender, ceiling
from rich.console import Console
from rich.table import Table

from democlass.classifier import Classifier
from democlass.networks.fusion import is_fusible
from democlass.networks.networks import CPU_BATCH

USED = "as used"
IMAGES = [Path()] * 96


def variant(*, fast: bool, batch: int = CPU_BATCH, fused: bool = True, streams: bool = True) -> Contender:
    """Return the networks in one precision, built one way."""
    with patch("democlass.networks.networks.is_fusible", is_fusible if fused else lambda *_: False):
        classifier = Classifier.load(device="cpu", fast=fast, batch_size=batch)
    if not streams:
        classifier.networks.streams = 1
    return ceiling(classifier)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    out = Console()
    for precision, fast in (("float32", False), ("bfloat16", True)):
        found = {
            USED: variant(fast=fast),
            "batches of 1": variant(fast=fast, batch=1),
            "batches of 2": variant(fast=fast, batch=2),
            "batches of 4": variant(fast=fast, batch=4),
            "batches of 16": variant(fast=fast, batch=16),
            "without fusion": variant(fast=fast, fused=False),
            "one stream": variant(fast=fast, streams=False),
        }
        speeds: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(asked.rounds):
            for name, contend in found.items():
                speeds[name].append(len(IMAGES) / contend(IMAGES).wall)
        table = Table(precision, "images/s", "to the way used")
        for name, those in speeds.items():
            ratio = statistics.median(a / b for a, b in zip(those, speeds[USED], strict=True))
            table.add_row(name, f"{statistics.median(those):.1f}", f"{ratio:.2f}")
        out.print(table)


if __name__ == "__main__":
    main()
