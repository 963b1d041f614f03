"""The standard streams, made safe before anything else reads or writes.

A stream that is closed gets its descriptor back, so that no file that is opened later receives its text. Reading or
writing that fails raises one of our exceptions, whoever reads or writes: Typer, Rich, a writer of rows.
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
    """Put safe streams in the place of the process's own. Those that a caller has replaced are left as they are."""
    # A closed one is opened the wrong way round, in the order of the descriptors: what uses it is told.
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
    """Flush standard output as far as that is possible, for a process that ends whatever comes of it."""
    with suppress(WriteError, ReaderGone):
        sys.stdout.flush()


def open_output(path: Path) -> BinaryIO:
    """Open a pipe or a device for rows. Raises OutputError; writing to it raises as standard output does."""
    with open_pipe_or_device(path, console.complain) as file:
        return io.BufferedWriter(_Output(os.dup(file.fileno()), str(path), closefd=True))


def refuse_closed_output(stream: BinaryIO) -> None:
    """Raise WriteError where nothing can be written to a stream, before any work is done for it."""
    try:
        os.write(stream.fileno(), b"")
    except OSError as error:
        raise _write_error("standard output", error) from None


def refuse_closed_input(stream: BinaryIO) -> None:
    """Raise DemoclassError where nothing can be read from a stream, before any work is done for it."""
    try:
        os.read(stream.fileno(), 0)
    except OSError as error:
        raise _read_error(error) from None


class _Output(io.FileIO):
    """A file to write that fails once; from then on it takes everything and keeps nothing.

    So what is left in a buffer does not fail again when the interpreter flushes it at the end. Raises ReaderGone where
    the reader of a pipe went away, WriteError where writing fails.
    """

    def __init__(self, descriptor: int, name: str, *, closefd: bool = False) -> None:
        super().__init__(descriptor, "wb", closefd=closefd)
        self._name = name
        self._has_failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        if self._has_failed:
            return memoryview(data).nbytes
        try:
            # A stream that another program has made non-blocking is waited for, as a blocking one is.
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
    """Standard error: what it does not take is dropped, and the run goes on."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError:
            return memoryview(data).nbytes
        return written


class _Input(io.FileIO):
    """Standard input. Raises DemoclassError where it can't be read."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            # To the reader of a non-blocking stream, nothing yet would be the same as nothing more.
            while (read := super().readinto(buffer)) is None:
                select.select([self], [], [])
        except OSError as error:
            raise _read_error(error) from None
        return read


def _descriptor(number: int, stream: TextIO | None, closed: int) -> int:
    """Return the descriptor of a standard stream; where it was closed at the start, a new one, opened as `closed`.

    The new one is the lowest that is free. It has another number only if something has been opened under it meanwhile.
    """
    if stream is not None:
        return number
    opened = os.open(os.devnull, closed)
    os.set_inheritable(opened, opened == number)
    return opened


def _as_text(
    buffer: BinaryIO, stream: TextIO | None, errors: str | None = None, line_buffering: bool | None = None
) -> io.TextIOWrapper:
    """Return a text stream over `buffer`, set up as the stream whose place it takes."""
    before = stream if isinstance(stream, io.TextIOWrapper) else io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return io.TextIOWrapper(
        buffer,
        encoding=before.encoding,
        errors=errors or before.errors,
        line_buffering=before.line_buffering if line_buffering is None else line_buffering,
        write_through=before.write_through,
    )


def _write_error(name: str, error: OSError) -> WriteError:
    return WriteError(f"can't write to {name}: {_reason(error)}")


def _read_error(error: OSError) -> DemoclassError:
    return DemoclassError(f"can't read standard input: {_reason(error)}")


def _reason(error: OSError) -> str:
    return "it is not open" if error.errno == errno.EBADF else str(error.strerror)
