"""Rows on a stream: standard output, a pipe, a device. Each is there, whole, as soon as it is known."""

from __future__ import annotations

from typing import BinaryIO

from democlass.output.formats import Format, Writer, WriterOptions
from democlass.results import Prediction


class Stream:
    """A writer on a stream of cli/stdio.py, which raises ReaderGone or WriteError where it can't be written."""

    def __init__(self, stream: BinaryIO, format_: Format | None, shape: WriterOptions) -> None:
        self._stream = stream
        self._writer = _writer(stream, format_, shape)
        self._stream.flush()

    def write(self, prediction: Prediction) -> None:
        """Write one row."""
        self._writer.write(prediction)
        self._stream.flush()

    def close(self) -> None:
        """Complete the format, so that what was written can be read, however the run ended."""
        self._writer.close()
        self._stream.flush()


def _writer(stream: BinaryIO, format_: Format | None, shape: WriterOptions) -> Writer:
    if format_ is not None:
        return format_.writer(stream, shape)
    from democlass.cli.table import TableWriter

    return TableWriter(shape)
