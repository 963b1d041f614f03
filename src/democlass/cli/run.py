"""Run a job of `classify PATH` or `classify batch`: open its sink, classify, return the exit code."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from democlass.cli import console
from democlass.cli.error_list import ErrorList
from democlass.cli.interrupt import report_interruption
from democlass.cli.job import ClassifyJob
from democlass.cli.run_options import OutputFormat
from democlass.cli.stdio import open_output, refuse_closed_input, refuse_closed_output
from democlass.errors import UsageError
from democlass.files import is_pipe_or_device
from democlass.flat import needs_path_bytes
from democlass.inputs.item import Item, ItemList
from democlass.inputs.local import STANDARD_INPUT
from democlass.output.file_sink import FileSink
from democlass.output.formats import FORMATS, Format, Writer, WriterOptions, format_of, require
from democlass.output.paths import refuse_odd_place
from democlass.output.stream import StreamSink

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.output.record import RunRecord

_FEW = 8
"""Fewer images than this are one batch of just their number, unless they go to a file. A single image is then quick."""


def execute(job: ClassifyJob, default_format: OutputFormat) -> int:
    """Run a job and return its exit code. Raises DemoclassError."""
    job.options.check()
    _route_warnings()
    if STANDARD_INPUT in job.sources:
        refuse_closed_input(sys.stdin.buffer)
    out = None if job.options.out == Path(STANDARD_INPUT) else job.options.out
    job.open_pictures()
    with _open_error_list(job, out):
        if out is None:
            return _run_to_stream(job, sys.stdout.buffer, job.options.format or default_format)
        if job.options.format is OutputFormat.TABLE:
            raise UsageError("a table can only go to standard output: give --out another --format")
        if is_pipe_or_device(out):  # it cannot be resumed
            default = OutputFormat.JSONL if default_format is OutputFormat.TABLE else default_format
            with open_output(out) as stream:
                return _run_to_stream(job, stream, job.options.format or default)
        return _run_to_file(job, out)


def _run_to_file(job: ClassifyJob, out: Path) -> int:
    refuse_odd_place(out)
    format_ = _file_format(job, out)
    job.check_checkpoints()
    sink = FileSink(out, format_, job.options.write_mode(), warn=console.warn, watch=job.add_error)
    with closing(sink):
        # To resume, only the items without a row are kept in memory.
        items = job.list_items(stream_names=True) if sink.previous is None else job.find_items()
        classifier = job.load(previous=sink.previous)
        job.refuse_late_image(items)
        sink.begin(_record(job, classifier, format_))
        with report_interruption(f"interrupted: the rows so far are in {sink.path}.partial; --resume continues"):
            all_rows, seconds = job.classify(items, classifier, sink, shown=True)
    return job.end(all_rows, seconds, out)


def _run_to_stream(job: ClassifyJob, stream: BinaryIO, format_name: OutputFormat) -> int:
    refuse_closed_output(stream)
    on_terminal = stream.isatty()
    format_ = None if format_name is OutputFormat.TABLE else require(FORMATS[format_name.value])
    if format_ is not None and not format_.text and on_terminal:
        raise UsageError(f"{format_.name} cannot be shown on a terminal: use --out FILE, or a pipe")
    job.check_checkpoints()
    is_flat = format_ is not None and format_.flat
    items = job.list_items(stream_names=not is_flat)
    classifier = job.load(image_count=_single_batch(items))
    job.refuse_late_image(items)
    path_bytes = is_flat and needs_path_bytes(item.name or "" for item in items)
    options = WriterOptions(
        classifier.networks.tasks,
        faces=classifier.settings.faces,
        path_bytes=path_bytes,
        terminal=on_terminal,
    )
    with closing(StreamSink(stream, lambda: _writer(stream, format_, options), watch=job.add_error)) as sink:
        sink.begin(_record(job, classifier, format_))
        all_rows, seconds = job.classify(items, classifier, sink, shown=job.shows_progress and not on_terminal)
    return job.end(all_rows, seconds, None)


def _single_batch(items: Iterable[Item]) -> int | None:
    """Return the number of items if they are so few that one batch of them is quicker."""
    return len(items) if isinstance(items, ItemList) and 0 < len(items) < _FEW else None


def _file_format(job: ClassifyJob, out: Path) -> Format:
    name = job.options.format
    format_ = require(FORMATS[name.value] if name else format_of(out))
    suffix = out.suffix.lower()
    if suffix not in format_.suffixes and any(suffix in each.suffixes for each in FORMATS.values()):
        console.warn(f"{out} is written as {format_.name}, although its suffix names another format")
    return format_


def _record(job: ClassifyJob, classifier: Classifier, format_: Format | None) -> RunRecord:
    from democlass.output.record import RunRecord

    command = [Path(sys.argv[0]).name.replace("__main__.py", "classify"), *sys.argv[1:]]
    name = "table" if format_ is None else format_.name
    return RunRecord.of(
        classifier.networks,
        classifier.settings,
        name,
        command=command,
        sources=job.sources,
        detector_sha256=classifier.reader.detector_sha256,
    )


def _writer(stream: BinaryIO, format_: Format | None, options: WriterOptions) -> Writer:
    if format_ is not None:
        return format_.writer(stream, options)
    from democlass.cli.table import TableWriter

    return TableWriter(options)


@contextmanager
def _open_error_list(job: ClassifyJob, out: Path | None) -> Iterator[None]:
    """Give the job its list of errors, if it was asked for. Raises OutputError."""
    options = job.options
    if options.errors is None:
        yield
        return
    resume = options.write_mode().resume
    with closing(ErrorList(options.errors, out, overwrite=options.overwrite, resume=resume)) as job.errors:
        yield


def _route_warnings() -> None:
    """Show warnings of democlass as messages. Warnings of libraries, as of Pillow on odd files, are hidden."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module="democlass")
    warnings.showwarning = lambda message, *_: console.warn(str(message))
