"""What `classify report` and `classify compare` share: options, and writing tables to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli.option import OUTPUT, option
from democlass.errors import OutputError, WriteError

if TYPE_CHECKING:
    from rich.table import Table

_STANDARD_OUTPUT = Path("-")

Part = tuple["str | Table", "str | None"]
"""A line or a table, and its style."""


class Unit(str, Enum):
    """What counts the same in all shares."""

    FACE = "face"
    IMAGE = "image"


UnitOption = Annotated[
    Unit, typer.Option("--unit", help="What counts the same in all shares: each face, or each image with faces.")
]


@dataclass(frozen=True)
class JsonOutput:
    """The JSON file that is written beside the tables."""

    json: Annotated[
        Path | None,
        option("--json", panel=OUTPUT, metavar="FILE", help="Write the report as JSON; - is standard output."),
    ] = None
    overwrite: Annotated[bool, option("--overwrite", panel=OUTPUT, help="Replace existing files.")] = False

    @property
    def files(self) -> list[Path]:
        """The files to write; standard output is none."""
        return [] if self.json is None or self.uses_standard_output else [self.json]

    def check(self, inputs: Sequence[Path]) -> None:
        """Raise OutputError if a file can't be written, or would replace an input or, unasked, another file."""
        from democlass.files import is_same_file
        from democlass.output.paths import refuse_inputs, refuse_odd_place

        for number, file in enumerate(self.files):
            refuse_odd_place(file)
            refuse_inputs([file], inputs, "inputs")
            if file.exists() and not self.overwrite:
                raise OutputError(f"{file} exists: use --overwrite to replace it")
            if any(is_same_file(file, other) or file == other for other in self.files[:number]):
                raise OutputError(f"{file} is named for two outputs: use another file")

    @property
    def uses_standard_output(self) -> bool:
        """Whether the JSON is written to standard output, where nothing else must be written then."""
        return self.json == _STANDARD_OUTPUT

    def write(self, document: dict[str, Any]) -> None:
        """Write the JSON document. Raises WriteError."""
        from democlass.output.formats import json_line

        if self.json is None:
            return
        content = json_line(document) + b"\n"
        if self.uses_standard_output:
            sys.stdout.buffer.write(content)
            return
        write_file(self.json, content)


def write_file(file: Path, content: bytes) -> None:
    """Write or replace a file. Raises WriteError."""
    from democlass.files import replace_file

    try:
        replace_file(file, content)
    except OSError as error:
        raise WriteError(f"can't write {file}: {error.strerror}") from None


def print_parts(parts: Iterable[Part]) -> None:
    """Write lines and tables to standard output."""
    from rich.console import Console

    out = Console(highlight=False, markup=False, emoji=False)
    for part, style in parts:
        out.print(part, style=style)
