"""One call of `classify PATH` or `classify batch`: its items, its classifier, its run and its summary."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from democlass.cli import console
from democlass.cli.error_list import ErrorList
from democlass.cli.loading import load_classifier
from democlass.cli.pictures import new_pictures
from democlass.cli.progress import Progress, summarise
from democlass.cli.run_options import RunOptions
from democlass.cli.stdin_image import read_image, refuse_image
from democlass.cli.suggestion import Watch, suggest_faces
from democlass.errors import UsageError
from democlass.inputs.item import Item, ItemList
from democlass.inputs.local import STANDARD_INPUT, find
from democlass.inputs.stdin import read_names
from democlass.output.paths import checked, refuse_inputs
from democlass.output.tally import Tally
from democlass.results import Prediction

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.output.face_pictures import FacePictures
    from democlass.output.record import RunRecord
    from democlass.output.sink import Sink

SOME_UNREADABLE = 3
"""Exit code of a run that finished, but with images that could not be read."""


@dataclass
class ClassifyJob:
    """The arguments of one call, and the counts of its run.

    With `stdin_image`, the source `-` is an image on standard input instead of a list of names. With
    `shows_progress`, the run shows progress and a summary.
    """

    context: typer.Context
    sources: Sequence[str]
    options: RunOptions
    shows_progress: bool
    stdin_image: bool = False
    errors: ErrorList | None = None
    pictures: FacePictures | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)

    def list_items(self, *, stream_names: bool) -> Iterable[Item]:
        """Return the items. With `stream_names`, names on standard input are not read in advance.

        Raises UsageError if there are none, OutputError if one is a file that would be replaced.
        """
        if stream_names and self.has_names_on_stdin:
            return self.find_items()
        items = ItemList(self.find_items())
        if not items and STANDARD_INPUT not in self.sources and not self.options.write_mode().resume:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items()) or "nothing at all"
            raise UsageError(f"no images in {', '.join(self.sources)} ({counts}); see --include, --hidden")
        return items

    def find_items(self) -> Iterator[Item]:
        """Yield the items. Raises OutputError at an item that is a file that would be replaced."""
        found = find(
            self.sources, self.options.walk(), self.skipped, warn=console.warn, read_stdin=self._items_on_stdin
        )
        replaced = self._replaced_files()
        return checked(found, replaced) if replaced else found

    def load(self, *, image_count: int | None = None, previous: RunRecord | None = None) -> Classifier:
        """Load the networks, for `image_count` images as one batch, or as the run that is resumed had them."""
        return load_classifier(self.context, self.options, self.options, image_count=image_count, previous=previous)

    def open_pictures(self) -> None:
        """Begin the folders of --save-crops and --annotate. Raises OutputError, UsageError."""
        options = self.options
        may_replace = options.write_mode().may_replace
        self.pictures = new_pictures(options, self.sources, may_replace=may_replace, overwrite=options.overwrite)

    def check_checkpoints(self) -> None:
        """Raise OutputError if a file that would be replaced is a checkpoint of the run; CheckpointError."""
        if replaced := self._replaced_files():
            locations = self.options.locations(self.context)
            refuse_inputs(replaced, [each.path for each in locations.values()], "checkpoints")

    def classify(
        self, items: Iterable[Item], classifier: Classifier, sink: Sink, *, shown: bool
    ) -> tuple[Tally, float]:
        """Classify the remaining items; return the counts of all rows of the output, and the seconds that it took."""
        from democlass.pipeline import run

        left: Iterable[Item] = sink.remaining(items)
        if not isinstance(items, ItemList) and not self.has_names_on_stdin:
            items = left = ItemList(left)  # the items to resume: now their number is known
        total = len(items) if isinstance(items, ItemList) else None
        with ExitStack() as stack:
            progress = stack.enter_context(Progress(total, shown=shown and not self.options.quiet))
            watch: Watch = progress.advance
            if not self.options.quiet:
                left, watch = stack.enter_context(suggest_faces(classifier, left, watch, progress.warn))
            if self.pictures is None:
                run(left, classifier, sink, self.tally, watch)
            else:
                write = partial(self.pictures.write, draw=classifier.reader.with_photo)
                run(self.pictures.watch(left), classifier, sink, self.tally, watch, write)
        return sink.finish(self.skipped), progress.seconds

    def add_error(self, prediction: Prediction) -> None:
        """Add a row to the list of errors, if it is one and the list was asked for."""
        if self.errors is not None:
            self.errors.add(prediction)

    def end(self, all_rows: Tally, seconds: float, out: Path | None) -> int:
        """Write the list of errors and the summary; return the exit code.

        `all_rows` counts all rows of the output, also those of earlier runs.
        """
        if self.errors is not None:
            self.errors.finish()
        if not self.options.quiet:
            if self.shows_progress:
                summarise(self.tally, all_rows, self.skipped, seconds, out, self.options.errors)
            elif self.tally.unreadable and not sys.stdout.isatty():
                console.write_line(f"{self.tally.unreadable.total()} of {self.tally.rows} images could not be read")
        return SOME_UNREADABLE if all_rows.unreadable else 0

    def refuse_late_image(self, items: Iterable[Item]) -> None:
        """Raise UsageError before the first row if standard input is an image, where its names are read later."""
        if not isinstance(items, ItemList) and self.sources[0] == STANDARD_INPUT:
            refuse_image(sys.stdin.buffer)

    @property
    def has_names_on_stdin(self) -> bool:
        """Whether names are read from standard input."""
        return STANDARD_INPUT in self.sources and not self.stdin_image

    def _items_on_stdin(self) -> Iterator[Item]:
        if self.stdin_image:
            return iter([Item(STANDARD_INPUT, read_image(sys.stdin.buffer, self.options.max_pixels))])
        refuse_image(sys.stdin.buffer)
        return map(Item.of, read_names(sys.stdin.buffer, null=self.options.null))

    def _replaced_files(self) -> list[Path]:
        """Return the existing files that --overwrite would replace."""
        outputs = (self.options.out, self.options.errors)
        return [path for path in outputs if path is not None and path.is_file()] if self.options.overwrite else []
