"""Keep freed memory in the process: getting new pages from the system takes a third of the time of a training step."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4

MAX_KEPT = 2**31 - 1
"""Bytes: the largest threshold that glibc accepts."""


def keep_freed_memory(max_bytes: int = MAX_KEPT) -> None:
    """Make the C library keep up to `max_bytes` of freed memory for reuse. Does nothing if it is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, max_bytes)
    mallopt(_MMAP_MAX, 0)  # otherwise large blocks are always returned to the system
