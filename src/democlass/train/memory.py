"""Memory that is freed is kept for what comes next: in a step of training fresh pages cost a third of the time."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4

MOST = 2**31 - 1
"""Bytes: the most that glibc can be told to keep."""


def keep_freed(most: int = MOST) -> None:
    """Have the C library keep up to `most` freed bytes of this process; where it is not glibc, do nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, most)
    mallopt(_MMAP_MAX, 0)  # else large pieces are always handed back
