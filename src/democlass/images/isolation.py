"""Decode images in child processes with a time limit, so that a hostile file costs one row and not the run.

Each call uses a worker process of its own (`worker.py`); `worker_process.py` starts and ends them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from democlass.errors import CancelledError, DemoclassError, ImageError, UsageError
from democlass.images.decode import Pixels
from democlass.images.decoding import Decoding as Decoding
from democlass.images.face_pixels import max_size, unpack_faces
from democlass.images.messages import CONTENT, ERROR, NAME, OPEN_CONTENT, OPEN_NAME, PIXELS, PREVIEW
from democlass.images.photo import Photo, max_preview_size
from democlass.images.remote_photo import Ask, RemotePhoto
from democlass.images.worker_process import WorkerPool, WorkerProcess
from democlass.inputs.item import Source
from democlass.names import raw_bytes
from democlass.settings import DECODE_TIMEOUT

Result = TypeVar("Result")

_ATTEMPTS = 2
_MAX_ERROR = 2**16
"""Bytes of an error message."""
_MAX_TIMEOUT = 86_400.0
"""Seconds: a day."""

_PACKAGE = os.path.abspath(Path(__file__).parents[2])
_LIBRARIES = ("numpy", "PIL", "simplejpeg", "pillow_heif")
"""The libraries that a worker imports besides the standard library and this package."""

# Isolated mode without the site module: sys.path holds the standard library only, and the current folder, the
# environment and .pth files have no effect. First import this package, so that it is the parent's copy; then replace
# its folder in sys.path by the folders of the libraries.
_START = (
    "import sys; sys.path.append(sys.argv[1]); import democlass; sys.path[-1:] = sys.argv[4:]; "
    "from democlass.images.worker import main; main(sys.argv[2], float(sys.argv[3]))"
)


class Cancellation:
    """Cancels calls of an `Isolated` from another thread. Several calls may share one; it cannot be reset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self.is_cancelled = False

    def cancel(self) -> None:
        """End all calls with this cancellation at once, with CancelledError; also later calls.

        The workers of these calls are killed. Does not block.
        """
        with self._lock:
            self.is_cancelled = True
            for worker in self._workers:
                worker.kill()

    @contextmanager
    def of(self, worker: WorkerProcess) -> Iterator[None]:
        """Kill the worker if `cancel` is called inside this context. Raises CancelledError if it was called before."""
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
    """Decodes as `Decoding` does, but in child processes. Calls from several threads run in parallel.

    If decoding a file takes longer than `timeout` seconds, its child is killed. Children are reused. If a child dies,
    it is replaced and its file tried once more. All children end with `close`, with this object, and with this process,
    also if it is killed.

    `command` starts a child instead of the usual command; the decoding as JSON and the timeout are its last two
    arguments. Raises UsageError unless the timeout is above 0 and at most a day.
    """

    def __init__(
        self, decoding: Decoding, *, timeout: float = DECODE_TIMEOUT, command: Sequence[str] | None = None
    ) -> None:
        if not 0 < timeout <= _MAX_TIMEOUT:
            raise UsageError(f"the time limit for decoding is {timeout} s: it must be above 0 and at most a day")
        self._decoding = decoding
        self._timeout = timeout
        arguments = [decoding.to_json(), str(timeout)]
        self._pool = WorkerPool(_own_command(*arguments) if command is None else [*command, *arguments])
        weakref.finalize(self, self._pool.close)

    @property
    def pids(self) -> list[int]:
        """The process IDs of all children."""
        return self._pool.pids

    def copy(self, *, timeout: float) -> Isolated:
        """Return an object that decodes in the same way, with a time limit and children of its own."""
        return Isolated(self._decoding, timeout=timeout)

    def start(self, count: int) -> None:
        """Start children until there are `count`, without waiting for them. Raises CancelledError after `close`."""
        self._pool.start(count)

    def __call__(self, source: Source, cancellation: Cancellation | None = None) -> list[Pixels]:
        """Return the pixels of each face. Paths and encoded images are decoded in a child.

        PIL images and arrays, which are decoded already, are prepared in this process. Raises ImageError; its reason
        is "timed out" if decoding took too long, which is not retried, and "the decoder crashed" if two children died.
        Raises CancelledError if `cancellation` is cancelled or this object closed, before or during the call;
        DemoclassError if no child can be started.
        """
        request = _request(source)
        if request is None:
            return self._decoding(source)
        kind, content = request
        geometries = self._decoding.geometries

        def decode(ask: Ask) -> list[Pixels]:
            return unpack_faces(ask(kind, content, PIXELS, max_size(geometries)), geometries)

        return self._with_worker(request, decode, cancellation or Cancellation())

    def with_photo(
        self, source: Source, use: Callable[[Photo], Result], cancellation: Cancellation | None = None
    ) -> Result:
        """Open a photo, and return the result of `use`, which is called again if the child dies meanwhile.

        The photo can be used only inside `use`. Raises the same as a call, and the exceptions of `use`.
        """
        request = _request(source)
        if request is None:
            return use(self._decoding.open(source))
        kind, content = request
        limit = max_preview_size(self._decoding.face_size)

        def open_and_use(ask: Ask) -> Result:
            opened = ask(OPEN_NAME if kind == NAME else OPEN_CONTENT, content, PREVIEW, limit)
            return use(RemotePhoto(ask, opened, self._decoding.geometries))

        return self._with_worker(request, open_and_use, cancellation or Cancellation())

    def _with_worker(
        self, request: tuple[bytes, bytes], talk: Callable[[Ask], Result], cancellation: Cancellation
    ) -> Result:
        """Return the result of `talk` with one child; with another one if the first dies."""
        kind, content = request
        was_ready = False
        for _ in range(_ATTEMPTS):
            if cancellation.is_cancelled:
                raise CancelledError("decoding was cancelled")
            worker = self._pool.acquire(same_folder=kind == NAME and not content.startswith(b"/"))
            try:
                with cancellation.of(worker):
                    result = talk(partial(self._ask, worker))
            except (EOFError, ValueError):  # the child died, or its answer is malformed
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
            except BaseException:  # also an interruption: an unread answer would be taken for the next one
                self._pool.discard(worker)
                raise
            else:
                self._pool.release(worker)
                return result
        if cancellation.is_cancelled or self._pool.is_closed:
            raise CancelledError("decoding was cancelled")
        if not was_ready:
            raise DemoclassError("the processes for decoding end while they start; is the installation complete?")
        raise ImageError("the decoder crashed", "the file is hostile or damaged in a way that no decoder expects")

    def close(self) -> None:
        """Kill all children at once; running calls raise CancelledError. Later calls raise it too."""
        self._pool.close()

    def _ask(
        self, worker: WorkerProcess, kind: bytes, content: bytes, expected: bytes, max_size: int
    ) -> bytes | bytearray:
        """Return the answer of a child if it is of the expected kind. Raises ImageError for an error."""
        kind, answer = worker.request(kind, content, timeout=self._timeout, max_size=max(max_size, _MAX_ERROR))
        if kind == ERROR:
            reason, advice = json.loads(answer)
            raise ImageError(str(reason), str(advice))
        if kind != expected:
            raise ValueError(f"an answer of kind {kind!r}")
        return answer


def _request(source: Source) -> tuple[bytes, bytes] | None:
    """Return the kind and content of the request for an image, or None if it is decoded already."""
    if isinstance(source, bytes):
        return CONTENT, source
    if isinstance(source, (str, os.PathLike)):
        return NAME, raw_bytes(os.fspath(source))
    return None


def _own_command(decoding: str, timeout: str) -> list[str]:
    cache = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    return [sys.executable, "-I", "-S", "-B", *cache, "-c", _START, _PACKAGE, decoding, timeout, *_library_folders()]


def _library_folders() -> list[str]:
    """Return the folders from which this process imports the libraries."""
    specs = (importlib.util.find_spec(name) for name in _LIBRARIES)
    files = [spec.origin for spec in specs if spec is not None and spec.origin is not None]
    return list(dict.fromkeys(os.path.abspath(Path(file).parents[1]) for file in files))
