"""What the commands that read labels files share: their options, and telling what such a file lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from democlass.cli import console

if TYPE_CHECKING:
    from democlass.inputs.labels import LabelSet

_DATA = "Data"


@dataclass(frozen=True)
class LabelsOptions:
    """Where the images of a labels file are, and what it calls things."""

    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="DIR",
            rich_help_panel=_DATA,
            help="Folder that paths in a labels file are relative to. Default: the file's own.",
        ),
    ] = None
    renamed: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=COLUMN",
            rich_help_panel=_DATA,
            help="What a labels file calls things: path=COLUMN, gender=COLUMN, race=COLUMN; and race:THEIRS=OURS for "
            "a label. FairFace's own names are known. Repeatable.",
        ),
    ] = None

    def read(self, file: Path) -> LabelSet:
        """Read a labels file and warn of what its rows lack. Raises UsageError."""
        from democlass.inputs.labels import Names, read_labels

        label_set = read_labels(file, root=self.root, names=Names.parse(self.renamed or []))
        for reason, count in label_set.lacking.most_common():
            console.warn(f"{file}: {count:,} rows: {reason}")
        return label_set
