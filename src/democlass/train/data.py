"""The labelled images of a training, without those that can't be read."""

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
from democlass.train.checks import check_labels, count_common, listed
from democlass.train.reader import Reader

Say = Callable[[str], object]


@dataclass(frozen=True)
class Labelled:
    """The images of a labels file that have a label for a task, and what is wrong with some, by their place."""

    file: Path
    images: Sequence[Example]
    faults: Mapping[int, str]

    @property
    def readable(self) -> list[Example]:
        """The images that can be read."""
        return [image for place, image in enumerate(self.images) if place not in self.faults]

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """The path of each image that can't be read, and what is wrong with it."""
        return [(self.images[place].path, fault) for place, fault in self.faults.items()]


def check_data(train: LabelSet, choose: LabelSet, task: Task, warn: Say) -> None:
    """Check labels, and that the files have other images, without decoding any. Raises UsageError."""
    here, there = train.of(task), choose.of(task)
    check_labels(here, task, train.file, warn, lack="the network can't learn them")
    check_labels(there, task, choose.file, warn, lack="how right the network is for them is not known")
    common = count_common(here, there)
    if common == len(there) and len(here) == len(there):
        raise UsageError(f"--choose {choose.file} has the images of {train.file}: it must have others, not trained on")
    if common:
        warn(
            f"{common:,} of {len(there):,} images of --choose {choose.file} are in {train.file} too: "
            "the figures will be too good, and the temperature wrong"
        )


def read_data(label_set: LabelSet, task: Task, read: Reader, *, skip: bool, warn: Say) -> Labelled:
    """Read all images of a labels file once; leave out those that can't be read if `skip`.

    Raises UsageError where one can't be read, or where too few labels are left.
    """
    examples = label_set.of(task)
    found = Labelled(label_set.file, examples, read.faults(examples))
    if found.faults:
        names = listed(found.unreadable, len(found.faults))
        count = f"{len(found.faults):,} of {len(examples):,} images of {label_set.file}"
        if not skip:
            raise UsageError(f"{count} can't be read: {names}. Repair them, or leave them out with --skip-unreadable")
        warn(f"{count} can't be read and are left out: {names}")
        check_labels(found.readable, task, label_set.file, warn, lack="all its images are left out")
    return found


def list_skipped(path: Path, sets: Sequence[Labelled]) -> None:
    """Write a CSV of the images left out, with the reason; without any there is no file. Raises WriteError."""
    entries = [entry for each in sets for entry in each.unreadable]
    try:
        if not entries:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("path", "error"), *entries])
        replace_file(path, raw_bytes(text.getvalue()))
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None
