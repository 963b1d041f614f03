"""The parent's side of a worker: one child process, and the pool of a classifier's workers."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 (registers its exit function before ours, at the end of this file)
import os
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress

from democlass.errors import CancelledError, DemoclassError
from democlass.images.messages import READY, TimeLimit, receive, send

_START_SECONDS = 120.0
"""Time limit for the start of a worker. It is long because loading Python from a slow disk takes time."""

_END_SECONDS = 1.0
"""How long to wait for a killed worker. A process that waits for a dead disk can't be killed, and is left alone."""

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # otherwise numpy starts a thread for each core, half of the start time, for no use
    "PILLOW_BLOCKS_MAX": "8",  # reuses 8 blocks of 16 MiB: new memory costs a quarter of the time of a large photo
}


class WorkerProcess:
    """A child process, and a socket to it.

    Only the thread that has acquired it from the pool sends requests to it and discards it. Any thread may kill it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.is_killed = False
        self.is_ready = False
        self.folder = current_folder_identity()
        self._connection, child_connection = socket.socketpair()
        child_stdin, self._parent_pipe = os.pipe()  # closes when this process ends, also if it is killed: see worker.py
        try:
            self._process = subprocess.Popen(  # noqa: S603 (this Python, this package)
                command,
                stdin=child_stdin,
                stdout=child_connection.fileno(),
                stderr=subprocess.DEVNULL,
                env={**_ENVIRONMENT, **os.environ},
            )
        except OSError as error:
            self.close()
            raise DemoclassError(f"can't start a decoding process: {error.strerror}; try fewer workers") from None
        finally:
            child_connection.close()
            os.close(child_stdin)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def request(self, kind: bytes, content: bytes, *, timeout: float, max_size: int) -> tuple[bytes, bytes | bytearray]:
        """Send a request and return the kind and content of the response.

        Raises EOFError if the process ends or is killed, TimeoutError after `timeout` seconds, and ValueError if the
        response is invalid or has more than `max_size` bytes.
        """
        if not self.is_ready:
            self._wait_until_ready()
        limit = TimeLimit(timeout)
        send(self._connection, kind, content, limit)
        return receive(self._connection, max_size, limit)

    def kill(self) -> None:
        """End the process immediately, and any request that waits for its response. Any thread may call this."""
        self.is_killed = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # the process may need longer to end, or never end
        self._process.kill()

    def wait(self, seconds: float = _END_SECONDS) -> None:
        """Wait until the process has ended, but not longer than `seconds`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def close(self) -> None:
        """Close the connections to the process."""
        self._connection.close()
        os.close(self._parent_pipe)

    def _wait_until_ready(self) -> None:
        try:
            kind, _ = receive(self._connection, 0, TimeLimit(_START_SECONDS))
        except TimeoutError:
            raise DemoclassError(f"a decoding process did not start within {_START_SECONDS:.0f} s") from None
        if kind != READY:
            raise ValueError(kind)
        self.is_ready = True


class WorkerPool:
    """The workers of one classifier: idle ones, and those that a thread has acquired."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self.is_closed = False
        self._reset()
        _pools.add(self)

    @property
    def pids(self) -> list[int]:
        """The process ids of all workers, sorted."""
        return sorted(worker.pid for worker in tuple(self._workers))

    def start(self, count: int) -> None:
        """Start workers until there are `count`. Does not wait until they are ready."""
        while len(self._workers) < count:
            self.release(self._start_worker())

    def acquire(self, *, same_folder: bool = False) -> WorkerProcess:
        """Return a worker for the calling thread alone. With `same_folder`, its current folder is this process's.

        Raises CancelledError if the pool is closed, and DemoclassError if no process can be started.
        """
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start_worker()
            if worker.is_alive and not (same_folder and worker.folder != current_folder_identity()):
                return worker
            self.discard(worker)

    def release(self, worker: WorkerProcess) -> None:
        """Return an idle worker to the pool."""
        with self._lock:
            if not worker.is_killed:
                self._idle.append(worker)
                return
        self.discard(worker)

    def discard(self, worker: WorkerProcess) -> None:
        """End a worker that the calling thread has acquired."""
        worker.kill()
        worker.wait()
        worker.close()
        with self._lock:
            self._workers.discard(worker)

    def close(self) -> None:
        """Kill all workers, including busy ones, and wait a moment until they have ended. No worker starts later."""
        with self._lock:
            self.is_closed = True
            workers, idle = tuple(self._workers), tuple(self._idle)
            self._idle.clear()
            for worker in workers:
                worker.kill()
        deadline = time.monotonic() + _END_SECONDS
        for worker in workers:
            worker.wait(max(0.0, deadline - time.monotonic()))
        for worker in idle:  # the threads that have acquired the others close them
            worker.close()
        with self._lock:
            self._workers.difference_update(idle)

    def _start_worker(self) -> WorkerProcess:
        with self._lock:
            if self.is_closed:
                raise CancelledError("decoding is closed")
            worker = WorkerProcess(self._command)
            self._workers.add(worker)
            return worker

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._workers: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []

    def after_fork(self) -> None:
        """Forget the parent's workers, in a process forked from it."""
        for worker in self._workers:
            worker.close()
        self._reset()


def current_folder_identity() -> tuple[int, int] | None:
    """Return device and inode of the current folder, which stay the same if it is renamed or deleted."""
    try:
        status = os.stat(os.curdir)
    except OSError:
        return None
    return status.st_dev, status.st_ino


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in tuple(_pools):
        pool.after_fork()


def _close_all() -> None:
    for pool in tuple(_pools):
        pool.close()


os.register_at_fork(after_in_child=_after_fork)

# When a program ends during a `classify`, Python waits for the threads of `classify`, and they wait for their workers.
# So the workers are ended first. There is no public function for this. If the private one is missing, the program ends
# at the decoding time limit.
if (_register_before_threads_are_joined := getattr(threading, "_register_atexit", None)) is not None:
    _register_before_threads_are_joined(_close_all)
