"""Decoding in processes of its own, so that a hostile file costs one row: not the run, and not more than a time limit.

Each calling thread has a worker process for itself meanwhile (`worker.py`); `worker_process.py` starts and ends them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from democlass.errors import CancelledError, DemoclassError, ImageError, UsageError
from democlass.images.decode import Input, Pixels
from democlass.images.decoding import Decoding as Decoding
from democlass.images.messages import CONTENT, ERROR, NAME, PIXELS
from democlass.images.worker_process import WorkerPool, WorkerProcess
from democlass.names import raw_bytes
from democlass.settings import DECODE_TIMEOUT
from democlass.tasks import SIDE

_ATTEMPTS = 2
_FRAME = SIDE * SIDE * 3
_MOST_ERROR = 2**16  # bytes
_LONGEST_TIMEOUT = 86_400.0

_PACKAGE = os.path.abspath(Path(__file__).parents[2])
_LIBRARIES = ("numpy", "PIL", "simplejpeg", "pillow_heif")
"""What a worker imports besides the standard library and this package."""

# Isolated mode, without the site module: sys.path has the standard library only, whatever the current folder, the
# environment and .pth files say. This package is imported next, so that it is the parent's and no other; then the
# folders of the libraries take the place of its own.
_START = (
    "import sys; sys.path.append(sys.argv[1]); import democlass; sys.path[-1:] = sys.argv[4:]; "
    "from democlass.images.worker import main; main(sys.argv[2], float(sys.argv[3]))"
)


class Cancellation:
    """Ends calls of an `Isolated` from any other thread; several calls may share one, and none is good after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self.is_cancelled = False

    def cancel(self) -> None:
        """End all calls that have this cancellation, at once, with CancelledError; also those that come later.

        A worker that is busy with one is killed. Does not block.
        """
        with self._lock:
            self.is_cancelled = True
            for worker in self._workers:
                worker.kill()

    @contextmanager
    def of(self, worker: WorkerProcess) -> Iterator[None]:
        """Kill the worker when `cancel` is called inside this context. Raises CancelledError where it was before."""
        with self._lock:
            if self.is_cancelled:
                raise CancelledError("decoding was cancelled")
            self._workers.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._workers.discard(worker)


class Isolated:
    """Decodes as `Decoding` does, each calling thread in a child process that it has for itself meanwhile.

    A file that takes longer than `timeout` seconds to decode has its child killed. Children are kept for the next
    image. One that dies is replaced and its file tried once more. All end with `close`, with this object, and with
    this process, however it ends. Calls may come from any thread.

    `command` starts a child instead of the usual command; it gets the decoding, as JSON, and the timeout as its last
    two arguments. Raises UsageError where the timeout is not above 0 and at most a day.
    """

    def __init__(
        self, decoding: Decoding, *, timeout: float = DECODE_TIMEOUT, command: Sequence[str] | None = None
    ) -> None:
        if not 0 < timeout <= _LONGEST_TIMEOUT:
            raise UsageError(f"a time limit for decoding of {timeout} s: it must be above 0, and a day at most")
        self._decoding = decoding
        self._timeout = timeout
        told = [decoding.to_json(), str(timeout)]
        self._pool = WorkerPool(_own_command(*told) if command is None else [*command, *told])
        weakref.finalize(self, self._pool.close)

    @property
    def pids(self) -> list[int]:
        """The process numbers of all children."""
        return self._pool.pids

    def start(self, count: int) -> None:
        """Have so many children: while other things are loaded they get ready. Raises CancelledError after `close`."""
        self._pool.start(count)

    def __call__(self, source: Input, cancellation: Cancellation | None = None) -> Pixels:
        """Decode a path or an encoded image in a child; a PIL image or an array, which is decoded already, here.

        Raises ImageError; its reason is "timed out" where decoding took too long, which is not tried again, and "the
        decoder crashed" where two children ended. Raises CancelledError where `cancellation` was or is cancelled, or
        this object closed; DemoclassError where no child can be started.
        """
        if isinstance(source, bytes):
            kind, content = CONTENT, source
        elif isinstance(source, (str, os.PathLike)):
            kind, content = NAME, raw_bytes(os.fspath(source))
        else:
            return self._decoding(source)
        cancellation = cancellation or Cancellation()
        was_ready = False
        for _ in range(_ATTEMPTS):
            if cancellation.is_cancelled:
                raise CancelledError("decoding was cancelled")
            worker = self._pool.acquire(same_folder=kind == NAME and not content.startswith(b"/"))
            try:
                with cancellation.of(worker):
                    pixels = self._ask(worker, kind, content)
            except (EOFError, ValueError):  # it ended, or what it says is no answer
                self._pool.discard(worker)
                was_ready = was_ready or worker.is_ready
            except TimeoutError:
                self._pool.discard(worker)
                raise ImageError(
                    "timed out", f"decoding took more than {self._timeout:g} s; a longer time limit may help"
                ) from None
            except ImageError:
                self._pool.release(worker)
                raise
            except BaseException:  # an interruption too: an answer that nobody has read would be taken for the next
                self._pool.discard(worker)
                raise
            else:
                self._pool.release(worker)
                return pixels
        if cancellation.is_cancelled or self._pool.is_closed:
            raise CancelledError("decoding was cancelled")
        if not was_ready:
            raise DemoclassError("the processes for decoding end while they start; is the installation complete?")
        raise ImageError("the decoder crashed", "the file is hostile or damaged in a way that no decoder expects")

    def close(self) -> None:
        """Kill all children at once, also those at work: their callers get CancelledError. Nothing is decoded after."""
        self._pool.close()

    def _ask(self, worker: WorkerProcess, kind: bytes, content: bytes) -> Pixels:
        geometries = self._decoding.geometries
        max_size = max(len(geometries) * _FRAME, _MOST_ERROR)
        kind, answer = worker.request(kind, content, timeout=self._timeout, max_size=max_size)
        if kind == ERROR:
            reason, advice = json.loads(answer)
            raise ImageError(str(reason), str(advice))
        frames = np.frombuffer(answer, np.uint8).reshape(-1, SIDE, SIDE, 3)
        if kind != PIXELS or len(frames) not in (1, len(geometries)):
            raise ValueError(kind)
        # One frame serves all geometries of a square image.
        return {geometry: frames[place % len(frames)] for place, geometry in enumerate(geometries)}


def _own_command(decoding: str, timeout: str) -> list[str]:
    cache = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    return [sys.executable, "-I", "-S", "-B", *cache, "-c", _START, _PACKAGE, decoding, timeout, *_library_folders()]


def _library_folders() -> list[str]:
    """Return the folders that the libraries were, or would be, imported from by this process."""
    specs = (importlib.util.find_spec(name) for name in _LIBRARIES)
    files = [spec.origin for spec in specs if spec is not None and spec.origin is not None]
    return list(dict.fromkeys(os.path.abspath(Path(file).parents[1]) for file in files))
