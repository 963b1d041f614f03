"""Collects findings and writes them to files, so that they can be inspected and reproduced."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

_MAX_EXAMPLES = 5
"""Number of examples that are written for each kind of finding."""


class Findings:
    """Counts findings by kind, and writes the first few of each kind to a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.kinds: Counter[str] = Counter()
        self._folder, self._seed = folder, seed
        self._lock = threading.Lock()

    def add(self, kind: str, details: dict[str, Any], content: bytes, case: Any = None) -> None:
        """Count a finding, and write the image or the request that caused it."""
        with self._lock:
            self.kinds[kind] += 1
            if self.kinds[kind] > _MAX_EXAMPLES:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"finding-{self._seed}-{sum(min(count, _MAX_EXAMPLES) for count in self.kinds.values())}"
        (self._folder / f"{name}.bin").write_bytes(content)
        document = {"kind": kind, "seed": self._seed, **details}
        if case is not None:
            document |= {"number": case.number, "made from": getattr(case, "format", ""), "damage": case.damage}
        (self._folder / f"{name}.json").write_text(json.dumps(document, indent=2, default=str) + "\n")

    def summary(self) -> list[str]:
        """Return lines that describe the findings; an empty list if there are none."""
        lines = [f"  {count} x {kind}" for kind, count in self.kinds.most_common()]
        return [*lines, f"  written to {self._folder}"] if lines else []
