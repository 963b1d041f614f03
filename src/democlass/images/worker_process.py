"""The parent's side of a worker: one child process, and the pool of those that a classifier has."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 (registers what is called when a program ends, before ours below)
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
"""Time limit for a worker's start: reading Python and its libraries from a slow disk is not the images' fault."""

_END_SECONDS = 1.0
"""How long a killed worker is waited for. One that waits for a dead disk can't be killed, and is left alone."""

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # numpy starts a thread a processor, which nothing here uses: half of the start-up
    "PILLOW_BLOCKS_MAX": "8",  # 16 MiB each, kept from image to image: fresh pages cost a quarter of a large photo
}


class WorkerProcess:
    """A child process, and a socket to it.

    Only the thread that has taken it from the pool asks it and discards it; any thread may kill it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.is_killed = False
        self.is_ready = False
        self.folder = current_folder()
        self._connection, theirs = socket.socketpair()
        alive, self._alive = os.pipe()  # closed when this process ends, however it ends: see worker.py
        try:
            self._process = subprocess.Popen(  # noqa: S603 (this Python, this package)
                command,
                stdin=alive,
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env={**_ENVIRONMENT, **os.environ},
            )
        except OSError as error:
            self.close()
            raise DemoclassError(f"can't start a process for decoding: {error.strerror}; try fewer workers") from None
        finally:
            theirs.close()
            os.close(alive)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def ask(self, kind: bytes, content: bytes, *, seconds: float, most: int) -> tuple[bytes, bytes | bytearray]:
        """Return kind and content, of at most `most` bytes, of the answer.

        Raises EOFError where the process ends or is killed, TimeoutError after `seconds`, ValueError where what it
        says is no answer.
        """
        if not self.is_ready:
            self._wait_until_ready()
        limit = TimeLimit(seconds)
        send(self._connection, kind, content, limit)
        return receive(self._connection, most, limit)

    def kill(self) -> None:
        """End the process at once, and whoever waits for its answer; from any thread."""
        self.is_killed = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # the process may need longer, or never die
        self._process.kill()

    def wait(self, seconds: float = _END_SECONDS) -> None:
        """Wait until the process is gone, but not for ever."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def close(self) -> None:
        """Close what leads to the process."""
        self._connection.close()
        os.close(self._alive)

    def _wait_until_ready(self) -> None:
        try:
            kind, _ = receive(self._connection, 0, TimeLimit(_START_SECONDS))
        except TimeoutError:
            raise DemoclassError(f"a process for decoding did not start within {_START_SECONDS:.0f} s") from None
        if kind != READY:
            raise ValueError(kind)
        self.is_ready = True


class WorkerPool:
    """The workers of one classifier: idle ones, and those that a thread has taken."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self.is_closed = False
        self._reset()
        _pools.add(self)

    @property
    def pids(self) -> list[int]:
        """The numbers of all workers' processes."""
        return sorted(worker.pid for worker in tuple(self._workers))

    def start(self, count: int) -> None:
        """Have so many workers: they get ready while other things are done."""
        while len(self._workers) < count:
            self.give(self._start())

    def take(self, *, relative: bool = False) -> WorkerProcess:
        """Return a worker for the calling thread alone; `relative`: its current folder must be this process's.

        Raises CancelledError where the pool is closed, DemoclassError where no process can be started.
        """
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start()
            if worker.is_alive and not (relative and worker.folder != current_folder()):
                return worker
            self.discard(worker)

    def give(self, worker: WorkerProcess) -> None:
        """Give back a worker that is idle."""
        with self._lock:
            if not worker.is_killed:
                self._idle.append(worker)
                return
        self.discard(worker)

    def discard(self, worker: WorkerProcess) -> None:
        """End a worker that the calling thread has."""
        worker.kill()
        worker.wait()
        worker.close()
        with self._lock:
            self._workers.discard(worker)

    def close(self) -> None:
        """Kill all workers, also those at work, and wait a moment until they are gone. None is started after."""
        with self._lock:
            self.is_closed = True
            workers, idle = tuple(self._workers), tuple(self._idle)
            self._idle.clear()
            for worker in workers:
                worker.kill()
        until = time.monotonic() + _END_SECONDS
        for worker in workers:
            worker.wait(max(0.0, until - time.monotonic()))
        for worker in idle:  # the others by the threads that have them
            worker.close()
        with self._lock:
            self._workers.difference_update(idle)

    def _start(self) -> WorkerProcess:
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
        """Let go, in a process forked from this one, of what is the parent's."""
        for worker in self._workers:
            worker.close()
        self._reset()


def current_folder() -> tuple[int, int] | None:
    """Return what tells the current folder from others, even where it has been renamed or deleted."""
    try:
        found = os.stat(os.curdir)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in tuple(_pools):
        pool.after_fork()


def _close_all() -> None:
    for pool in tuple(_pools):
        pool.close()


os.register_at_fork(after_in_child=_after_fork)

# Where a program ends while a `classify` of it is unfinished, Python waits for that one's threads, and they for their
# workers: these are ended first. There is no public way to be called before that; without this one, the wait ends with
# the time limit for decoding.
if (_before_threads_are_joined := getattr(threading, "_register_atexit", None)) is not None:
    _before_threads_are_joined(_close_all)
