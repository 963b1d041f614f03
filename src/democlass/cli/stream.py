"""Rows on a stream: standard output, a pipe, a device. Each is there, whole, as soon as it is known."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from democlass.cli.interrupt import ReaderGone
from democlass.errors import WriteError
from democlass.results import Prediction
from democlass.writers import Format, Shape, Writer


class Stream:
    """A writer on a stream. Raises ReaderGone where a pipe's reader went away, WriteError where writing fails."""

    def __init__(self, stream: BinaryIO, format_: Format | None, shape: Shape) -> None:
        self._stream = stream
        self._writer: Writer
        self._do(lambda: self._begin(format_, shape))

    def write(self, prediction: Prediction) -> None:
        """Write one row."""
        self._do(lambda: self._writer.write(prediction))

    def close(self) -> None:
        """Complete the format, so that what was written can be read, however the run ended."""
        self._do(self._writer.close)

    def _begin(self, format_: Format | None, shape: Shape) -> None:
        if format_ is None:
            from democlass.cli.table import TableWriter

            self._writer = TableWriter(shape)
        else:
            self._writer = format_.writer(self._stream, shape)

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
            self._stream.flush()
        except BrokenPipeError:
            self._forget()
            raise ReaderGone from None
        except OSError as error:
            self._forget()
            raise WriteError(f"can't write the rows: {error.strerror}") from None

    def _forget(self) -> None:
        """Let what is still held go nowhere, or closing the stream would fail once more."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
