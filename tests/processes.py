"""Information about processes on Linux, and limits on this one."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """Return R for running, S for sleeping, Z for ended and so on; an empty string if there is no such process."""
    return _fields(pid)[0]


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    return state_of(pid) not in ("", "Z")


def seconds_used(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    return sum(map(int, _fields(pid)[11:13])) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Return the child processes that any thread of a process has started."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return [""]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let this process write no file larger than `size` bytes, like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
