"""What `classify` and `classify batch` have in common: from options to rows and an exit code."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from democlass.cli import console
from democlass.cli.error_list import ErrorList
from democlass.cli.interrupt import tell
from democlass.cli.progress import Progress, summarise
from democlass.cli.run_options import OutputFormat, RunOptions
from democlass.cli.stdin_image import read_image, refuse_image
from democlass.cli.stdio import open_output, refuse_closed_input, refuse_closed_output
from democlass.cli.stream import Stream
from democlass.errors import UsageError
from democlass.files import is_pipe_or_device
from democlass.inputs.compact import NameList
from democlass.inputs.local import STANDARD_INPUT, find, read_names
from democlass.output.formats import FORMATS, WriterOptions, format_of, require
from democlass.output.paths import refuse_inputs
from democlass.output.single import Output, refuse_odd_place
from democlass.output.tally import Tally
from democlass.results import Prediction, needs_path_bytes
from democlass.tasks import TASKS

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.output.record import RunRecord

SOME_UNREADABLE = 3
"""Exit code of a run that finished, though some images could not be read."""

_FEW = 8
"""Fewer images than this, and no --out: one batch of just their number, so that one image is quick."""


@dataclass
class Job:
    """One call of the command: what was asked for, and what has been counted so far.

    With `stdin_image` the source `-` is an image on standard input, else a list of names there.
    """

    context: typer.Context
    sources: Sequence[str]
    options: RunOptions
    narrate: bool
    stdin_image: bool = False
    errors: ErrorList | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)

    def names(self, *, lazy: bool) -> Iterable[str]:
        """Return the names of all images; lazily only where standard input gives them one by one."""
        if lazy and STANDARD_INPUT in self.sources and not self.stdin_image:
            return self.find()
        names = NameList(self.find())
        if not names and STANDARD_INPUT not in self.sources and not self.options.write_mode().resume:
            counted = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items()) or "nothing at all"
            raise UsageError(f"no images in {', '.join(self.sources)} ({counted}); see --include, --hidden")
        return names

    def load(self, *, few: int | None = None, previous: RunRecord | None = None) -> Classifier:
        """Load the networks; for `few` images, or as a run that is to be resumed had them."""
        from democlass.images.decoding import Decoding
        from democlass.images.isolation import Isolated
        from democlass.images.loader import default_workers

        found = self.options.locations(self.context)
        settings = self.options.settings()
        workers = default_workers() if self.options.workers is None else self.options.workers
        if few is not None:
            workers = min(workers, few)
        decode = Isolated(Decoding.of(TASKS, settings), timeout=self.options.decode_timeout)
        decode.start(max(1, workers))  # they get ready while torch is imported, which takes longer
        import torch  # only now: it takes seconds, and a missing checkpoint is told at once

        from democlass.classifier import Classifier

        if previous is not None:
            torch.set_num_threads(previous.threads)
            few = previous.options["batch_size"]
        if settings.batch_size is None:
            settings = replace(settings, batch_size=few)
        return Classifier.build(
            found,
            settings,
            labels=self.options.labels(),
            workers=workers,
            decode=decode,
            warn=console.warn,
        )

    def run(
        self, names: Iterable[str], classifier: Classifier, write: Callable[[Prediction], None], shown: bool
    ) -> float:
        """Classify the names and return the seconds it took."""
        from democlass.pipeline import run

        total = len(names) if isinstance(names, NameList) else None
        inputs: Iterable[str | bytes] = names
        if self.stdin_image:
            inputs = (read_image(sys.stdin.buffer, self.options.max_pixels) for _ in names)

        def write_named(prediction: Prediction) -> None:
            write(prediction if prediction.path is not None else replace(prediction, path=STANDARD_INPUT))

        with Progress(total, shown=shown and not self.options.quiet) as progress:
            run(inputs, classifier, write_named, self.tally, progress.advance)
        return progress.seconds

    def refuse_image(self, names: Iterable[str]) -> None:
        """Raise UsageError where names are yet to be read from standard input and an image is there, before any row."""
        if not isinstance(names, NameList) and self.sources[0] == STANDARD_INPUT:
            refuse_image(sys.stdin.buffer)

    def list_error(self, prediction: Prediction) -> None:
        """Add a row to --errors, if it is one."""
        if self.errors is not None:
            self.errors.add(prediction)

    def close(self, whole: Tally, seconds: float, out: Path | None) -> int:
        """Tell what came of the run and return the exit code that `whole`, all rows of the output, calls for."""
        if self.errors is not None:
            self.errors.finish()
        if not self.options.quiet:
            if self.narrate:
                summarise(self.tally, whole, self.skipped, seconds, out, self.options.errors)
            elif self.tally.unreadable and not sys.stdout.isatty():
                console.complain(f"{self.tally.unreadable.total()} of {self.tally.rows} images could not be read")
        return SOME_UNREADABLE if whole.unreadable else 0

    def find(self) -> Iterator[str]:
        """Yield the names of all images."""

        def read_stdin() -> Iterator[str]:
            if self.stdin_image:
                return iter([STANDARD_INPUT])
            refuse_image(sys.stdin.buffer)
            return read_names(sys.stdin.buffer, null=self.options.null)

        return find(self.sources, self.options.walk(), self.skipped, warn=console.warn, read_stdin=read_stdin)


def execute(job: Job, default_format: OutputFormat) -> int:
    """Do a job and return its exit code."""
    job.options.check()
    _route_warnings()
    if STANDARD_INPUT in job.sources:
        refuse_closed_input(sys.stdin.buffer)
    out = None if job.options.out == Path(STANDARD_INPUT) else job.options.out
    with _listing_errors(job, out):
        if out is None:
            return _to_stream(job, sys.stdout.buffer, job.options.format or default_format)
        if job.options.format is OutputFormat.TABLE:
            raise UsageError("a table is for reading: give --out another --format")
        if is_pipe_or_device(out):  # nothing there to resume
            default = OutputFormat.JSONL if default_format is OutputFormat.TABLE else default_format
            with open_output(out) as stream:
                return _to_stream(job, stream, job.options.format or default)
        return _to_file(job, out)


def _to_file(job: Job, out: Path) -> int:
    from democlass.output.record import RunRecord

    asked = job.options.format
    refuse_odd_place(out)
    format_ = require(FORMATS[asked.value] if asked else format_of(out))
    if out.suffix.lower() not in format_.suffixes and any(
        out.suffix.lower() in each.suffixes for each in FORMATS.values()
    ):
        console.warn(f"{out} gets {format_.name}, whatever its suffix says")
    with closing(Output(out, format_, job.options.write_mode(), warn=console.warn)) as output:
        names = job.names(lazy=True) if output.previous is None else job.find()
        refuse_inputs([out, job.options.errors], job.sources, names if isinstance(names, NameList) else ())
        classifier = job.load(previous=output.previous)
        job.refuse_image(names)
        command = [Path(sys.argv[0]).name.replace("__main__.py", "classify"), *sys.argv[1:]]
        output.begin(RunRecord.of(classifier, format_.name, command=command, sources=job.sources))
        with tell(f"interrupted: what is classified is kept beside {output.path}; --resume goes on from there"):
            if output.previous is not None:  # of the names found, only those without a row are kept
                left = output.remaining(names)
                names = left if STANDARD_INPUT in job.sources else NameList(left)
            seconds = job.run(names, classifier, output.write, shown=True)
            whole = output.finish(job.skipped, job.list_error)
    return job.close(whole, seconds, out)


def _to_stream(job: Job, stream: BinaryIO, named: OutputFormat) -> int:
    refuse_closed_output(stream)
    on_terminal = stream.isatty()
    format_ = None if named is OutputFormat.TABLE else require(FORMATS[named.value])
    if format_ is not None and not format_.text and on_terminal:
        raise UsageError(f"{format_.name} is not for a terminal: give --out FILE, or send it into a pipe")
    flat = format_ is not None and format_.flat
    names = job.names(lazy=not flat)
    refuse_inputs([job.options.errors], job.sources, names if isinstance(names, NameList) else ())
    few = len(names) if isinstance(names, NameList) and 0 < len(names) < _FEW else None
    classifier = job.load(few=few)
    job.refuse_image(names)
    shape = WriterOptions(
        classifier.networks.tasks,
        path_bytes=flat and needs_path_bytes(names),
        terminal=on_terminal,
    )
    rows = Stream(stream, format_, shape)

    def write(prediction: Prediction) -> None:
        rows.write(prediction)
        job.list_error(prediction)

    try:
        seconds = job.run(names, classifier, write, shown=job.narrate and not on_terminal)
    finally:
        rows.close()
    return job.close(job.tally, seconds, None)


@contextmanager
def _listing_errors(job: Job, out: Path | None) -> Iterator[None]:
    """Let the job have a list of errors while it runs, if it is to make one. Raises OutputError."""
    options = job.options
    if options.errors is None:
        yield
        return
    resume = options.write_mode().resume
    with closing(ErrorList(options.errors, out, overwrite=options.overwrite, resume=resume)) as job.errors:
        yield


def _route_warnings() -> None:
    """Show warnings as lines of our own; Pillow's, on what it makes of a strange file, are not for the user."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module="democlass")
    warnings.showwarning = lambda message, *_: console.warn(str(message))
