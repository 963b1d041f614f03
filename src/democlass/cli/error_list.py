"""The list of images that could not be read, for `--errors FILE`: CSV, one image per line, with the reason."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from democlass.cli.stdio import open_output
from democlass.errors import OutputError, WriteError
from democlass.files import atomic_write, is_pipe_or_device
from democlass.names import encode_name
from democlass.output.formats import csv_line
from democlass.results import Prediction

_COLUMNS = ["path", "error"]
_WIDE_COLUMNS = [*_COLUMNS, "path_bytes"]
_HEADERS = {b"", csv_line(_COLUMNS), csv_line(_WIDE_COLUMNS)}
_MAX_HEADER = 256  # bytes
_COMPANIONS = ("", ".partial", ".export", ".run.json", ".run.json.new")


class ErrorList:
    """Collects error rows, and writes FILE in one step at the end.

    Until `finish` the lines are in an unnamed temporary file in the folder of FILE, so memory use is constant and no
    file is left behind. Raises OutputError if FILE cannot be written, belongs to `out`, or exists; `overwrite` allows
    replacing any file, `resume` allows replacing a list of errors.
    """

    def __init__(self, path: Path, out: Path | None, *, overwrite: bool, resume: bool) -> None:
        self._path = Path(os.path.realpath(path))  # a symbolic link is followed, not replaced
        self._stream: BinaryIO | None = None
        if path == Path("-") or os.path.isdir(path):
            raise OutputError(f"--errors {path}: give the name of a file")
        if out is not None and self._path in _files_of(out):
            raise OutputError(f"{path} belongs to --out {out}: give another --errors FILE")
        if os.path.isfile(path) and not overwrite:
            self._refuse_existing(resume)
        folder = None if is_pipe_or_device(path) else self._path.parent
        if folder is None:
            self._stream = open_output(path)  # not the real path, which for /dev/fd/3 may be pipe:[1]
        try:
            self._lines = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (close() closes it)
        except OSError as error:
            raise OutputError(f"can't write {path}: {error.strerror}") from None

    def add(self, prediction: Prediction) -> None:
        """Add a prediction to the list if it is an error. Raises WriteError."""
        if prediction.error is not None:
            path, raw = encode_name(prediction.path or "")
            try:
                self._lines.write(csv_line([path, prediction.error, raw or ""]))
            except OSError as error:
                raise self._write_error(error) from None

    def finish(self) -> None:
        """Write FILE in one step. Raises WriteError, or ReaderGone if FILE is a pipe whose reader closed it."""
        try:
            self._lines.flush()
            if self._stream is not None:
                self._export(self._stream)
                self._stream.flush()
            else:
                self._replace()
        except OSError as error:
            raise self._write_error(error) from None

    def close(self) -> None:
        """Close the files. Without `finish`, the lines are discarded."""
        self._lines.close()
        if self._stream is not None:
            self._stream.close()

    def _replace(self) -> None:
        with atomic_write(self._path, suffix=f".errors-{os.getpid()}") as stream:
            self._export(stream)

    def _export(self, stream: BinaryIO) -> None:
        """Write header and lines. A third column, `path_bytes` in hex, is added only if some name is not UTF-8."""
        is_wide = any(line[-1] for line in self._read())
        stream.write(csv_line(_WIDE_COLUMNS if is_wide else _COLUMNS))
        for line in self._read():
            stream.write(csv_line(line if is_wide else line[:-1]))

    def _read(self) -> Iterator[list[str]]:
        self._lines.seek(0)
        text = io.TextIOWrapper(self._lines, encoding="utf-8", newline="")
        try:
            yield from csv.reader(text, strict=True)
        finally:
            text.detach()

    def _refuse_existing(self, resume: bool) -> None:
        try:
            with self._path.open("rb") as file:
                is_list = file.readline(_MAX_HEADER) in _HEADERS
        except OSError:
            is_list = False
        if not resume:
            raise OutputError(f"{self._path} exists: --overwrite replaces it, or give another --errors FILE")
        if not is_list:
            raise OutputError(f"{self._path} is not a list of errors written by democlass: give another --errors FILE")

    def _write_error(self, error: OSError) -> WriteError:
        return WriteError(f"can't write {self._path}: {error.strerror}")


def _files_of(out: Path) -> list[Path]:
    real = Path(os.path.realpath(out))
    return [real.with_name(real.name + suffix) for suffix in _COMPANIONS]
