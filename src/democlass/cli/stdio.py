"""Replaces the standard streams with safe ones before anything else reads or writes.

A closed stream is opened again on the null device. Otherwise the next file opened would get its descriptor, and
messages would be written to that file. A failed read or write raises one of our exceptions, even inside Typer or Rich.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from democlass.cli import console
from democlass.cli.interrupt import ReaderGone
from democlass.errors import DemoclassError, WriteError
from democlass.files import open_pipe_or_device

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


def secure_streams() -> None:
    """Replace the standard streams of this process. Streams that a caller has already replaced are not changed."""
    # A closed stream is opened in the wrong direction, so that using it fails. The order gives them descriptors 0 to 2.
    source = _descriptor(0, sys.__stdin__, os.O_WRONLY)
    output = _descriptor(1, sys.__stdout__, os.O_RDONLY)
    messages = _descriptor(2, sys.__stderr__, os.O_WRONLY)
    if sys.stdin is sys.__stdin__:
        sys.stdin = _as_text(io.BufferedReader(_Input(source, "rb", closefd=False)), sys.__stdin__)
    if sys.stdout is sys.__stdout__:
        safe = io.BufferedWriter(_Output(output, "standard output"))
        sys.stdout = _as_text(safe, sys.__stdout__, errors="backslashreplace")
    if sys.stderr is sys.__stderr__:
        lossy = io.BufferedWriter(_Messages(messages, "wb", closefd=False))
        sys.stderr = _as_text(lossy, sys.__stderr__, errors="backslashreplace", line_buffering=True)


def flush_output() -> None:
    """Flush standard output and ignore failures, because the process is about to exit."""
    with suppress(WriteError, ReaderGone):
        sys.stdout.flush()


def open_output(path: Path) -> BinaryIO:
    """Open a pipe or device for rows. Raises OutputError. Writing raises the same exceptions as standard output."""
    with open_pipe_or_device(path, console.write_line) as file:
        return io.BufferedWriter(_Output(os.dup(file.fileno()), str(path), closefd=True))


def refuse_closed_output(stream: BinaryIO) -> None:
    """Raise WriteError if a stream cannot be written to. Called before any work is done."""
    try:
        os.write(stream.fileno(), b"")
    except OSError as error:
        raise _write_error("standard output", error) from None


def refuse_closed_input(stream: BinaryIO) -> None:
    """Raise DemoclassError if a stream cannot be read. Called before any work is done."""
    try:
        os.read(stream.fileno(), 0)
    except OSError as error:
        raise _read_error(error) from None


class _Output(io.FileIO):
    """A file whose writes fail at most once. After a failure, writes are discarded.

    Otherwise the rest of a buffer would fail again when the interpreter flushes it at exit. Raises ReaderGone if the
    reader of a pipe closed it, and WriteError for all other failures.
    """

    def __init__(self, descriptor: int, name: str, *, closefd: bool = False) -> None:
        super().__init__(descriptor, "wb", closefd=closefd)
        self._name = name
        self._has_failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        if self._has_failed:
            return memoryview(data).nbytes
        try:
            # Another program may have made the stream non-blocking: wait until it can be written.
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except (BrokenPipeError, ConnectionResetError):
            self._has_failed = True
            raise ReaderGone from None
        except OSError as error:
            self._has_failed = True
            raise _write_error(self._name, error) from None
        return written


class _Messages(io.FileIO):
    """Standard error. Messages that cannot be written are dropped, and the run continues."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError:
            return memoryview(data).nbytes
        return written


class _Input(io.FileIO):
    """Standard input. Raises DemoclassError if it cannot be read."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            # On a non-blocking stream, "no data yet" would be taken for the end of the stream.
            while (read := super().readinto(buffer)) is None:
                select.select([self], [], [])
        except OSError as error:
            raise _read_error(error) from None
        return read


def _descriptor(number: int, stream: TextIO | None, closed: int) -> int:
    """Return the descriptor of a standard stream. If the stream was closed at the start, open it with mode `closed`.

    The new descriptor is the lowest free one. It differs from `number` only if another file has been opened there.
    """
    if stream is not None:
        return number
    descriptor = os.open(os.devnull, closed)
    os.set_inheritable(descriptor, descriptor == number)
    return descriptor


def _as_text(
    buffer: BinaryIO, stream: TextIO | None, errors: str | None = None, line_buffering: bool | None = None
) -> io.TextIOWrapper:
    """Return a text stream over `buffer`, with the encoding and buffering of the stream it replaces."""
    original = stream if isinstance(stream, io.TextIOWrapper) else io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return io.TextIOWrapper(
        buffer,
        encoding=original.encoding,
        errors=errors or original.errors,
        line_buffering=original.line_buffering if line_buffering is None else line_buffering,
        write_through=original.write_through,
    )


def _write_error(name: str, error: OSError) -> WriteError:
    return WriteError(f"can't write to {name}: {_reason(error)}")


def _read_error(error: OSError) -> DemoclassError:
    return DemoclassError(f"can't read standard input: {_reason(error)}")


def _reason(error: OSError) -> str:
    return "it is not open" if error.errno == errno.EBADF else str(error.strerror)
