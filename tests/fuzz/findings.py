"""What was found: kept in files, so that it can be looked at and tried again."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

_MOST_KEPT = 5
"""Examples that are kept of each kind."""


class Findings:
    """Findings by kind; of each the first few are kept as files in a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.kinds: Counter[str] = Counter()
        self._folder, self._seed = folder, seed
        self._lock = threading.Lock()

    def add(self, kind: str, details: dict[str, Any], content: bytes, case: Any = None) -> None:
        """Note a finding, and keep what it was found with: an image, or the bytes of a request."""
        with self._lock:
            self.kinds[kind] += 1
            if self.kinds[kind] > _MOST_KEPT:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"finding-{self._seed}-{sum(min(n, _MOST_KEPT) for n in self.kinds.values())}"
        (self._folder / f"{name}.bin").write_bytes(content)
        described = {"kind": kind, "seed": self._seed, **details}
        if case is not None:
            described |= {"number": case.number, "made from": getattr(case, "format", ""), "damage": case.damage}
        (self._folder / f"{name}.json").write_text(json.dumps(described, indent=2, default=str) + "\n")

    def lines(self) -> list[str]:
        """Return the findings for people; none where there are none."""
        lines = [f"  {count} x {kind}" for kind, count in self.kinds.most_common()]
        return [*lines, f"  kept in {self._folder}"] if lines else []
