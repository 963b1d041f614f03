"""The labelled images of a training, and which of them can't be read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from democlass.errors import UsageError, WriteError
from democlass.files import replace_file
from democlass.inputs.labels import Example, LabelSet
from democlass.names import raw_bytes
from democlass.tasks import Task
from democlass.train.image_reader import ImageReader
from democlass.train.label_checks import check_labels, format_faults


@dataclass(frozen=True)
class LabelledImages:
    """The images of a labels file that have a label for a task, and the errors of unreadable ones by their index."""

    file: Path
    examples: Sequence[Example]
    faults: Mapping[int, str]

    @property
    def readable(self) -> list[Example]:
        """The images that can be read."""
        return [example for index, example in enumerate(self.examples) if index not in self.faults]

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """Path and error of each image that can't be read."""
        return [(self.examples[index].path, fault) for index, fault in self.faults.items()]


def read_images(
    label_set: LabelSet, task: Task, reader: ImageReader, *, skip_unreadable: bool, warn: Callable[[str], object]
) -> LabelledImages:
    """Read all images of a labels file once to find those that can't be read.

    Raises UsageError if there are any and `skip_unreadable` is False, or if the readable ones have too few labels.
    """
    examples = label_set.of(task)
    images = LabelledImages(label_set.file, examples, reader.find_faults(examples))
    if images.faults:
        names = format_faults(images.unreadable, len(images.faults))
        count = f"{len(images.faults):,} of {len(examples):,} images of {label_set.file}"
        if not skip_unreadable:
            raise UsageError(f"{count} can't be read: {names}. Repair them, or skip them with --skip-unreadable")
        warn(f"{count} can't be read and are skipped: {names}")
        check_labels(images.readable, task, label_set.file, warn, consequence="all its images are unreadable")
    return images


def write_skipped(path: Path, sets: Sequence[LabelledImages]) -> None:
    """Write a CSV of the skipped images and their errors, or delete it if there are none. Raises WriteError."""
    entries = [entry for images in sets for entry in images.unreadable]
    try:
        if not entries:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("path", "error"), *entries])
        replace_file(path, raw_bytes(text.getvalue()))
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None
