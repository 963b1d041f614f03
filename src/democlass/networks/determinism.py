"""The same digits each time on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

import torch

_lock = Lock()
_users = 0
_flags = ExitStack()


@contextmanager
def deterministic_cudnn() -> Iterator[None]:
    """Let cuDNN give the same digits each time, until the last of the threads in this context leaves it.

    cuDNN's flags belong to the process. If each thread restored them for itself, it would change them for the others.
    """
    global _users
    with _lock:
        if _users == 0:
            _flags.enter_context(
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
            )
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _flags.close()
