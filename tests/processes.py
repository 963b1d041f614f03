"""What the tests ask about processes; on Linux."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def eventually(found: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is found."""
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """Return R running, S waiting, Z ended, …; nothing where there is no such process."""
    return _fields(pid)[0]


def is_there(pid: int) -> bool:
    return state_of(pid) not in ("", "Z")


def seconds_used(pid: int) -> float:
    """Return the processor time of a process so far."""
    return sum(map(int, _fields(pid)[11:13])) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Return a process's children, by all of its threads."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return [""]
