"""The options for labels files, which `evaluate` and `train` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from democlass.cli import console
from democlass.cli.option import option
from democlass.tasks import TASKS, Task

if TYPE_CHECKING:
    from democlass.inputs.labels import LabelSet

DATA = "Data"
"""Heading of the options for labels and predictions in `--help`."""


@dataclass(frozen=True)
class LabelsOptions:
    """How to read a labels file."""

    root: Annotated[
        Path | None,
        option(
            "--root",
            metavar="DIR",
            panel=DATA,
            help="Folder that the paths in a labels file are relative to. Default: the folder of that file.",
        ),
    ] = None
    mapping: Annotated[
        list[str] | None,
        option(
            "--map",
            metavar="NAME=COLUMN",
            panel=DATA,
            help="Column of the paths or of a task's labels: path=COLUMN, gender=COLUMN, race=COLUMN. Also "
            "race:THEIRS=OURS, for a label with another name. Repeatable. Default: usual names, and FairFace's.",
        ),
    ] = None

    def read(self, file: Path, tasks: Sequence[Task] = TASKS) -> LabelSet:
        """Read the labels for `tasks` from a labels file and warn about rows that are not used. Raises UsageError."""
        from democlass.inputs.label_mapping import LabelMapping
        from democlass.inputs.labels import read_labels

        label_set = read_labels(
            file, root=self.root, mapping=LabelMapping.parse(self.mapping or [], tasks), tasks=tasks
        )
        for reason, count in label_set.excluded.most_common():
            console.warn(f"{file}: {count:,} rows: {reason}")
        return label_set
