"""What `classify report` and `classify compare` share: options, and writing tables to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
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
class ReportOutputs:
    """The file that the report is written to."""

    json: Annotated[
        Path | None,
        option("--json", panel=OUTPUT, metavar="FILE", help="Write the report as JSON; - is standard output."),
    ] = None
    overwrite: Annotated[bool, option("--overwrite", panel=OUTPUT, help="Replace an existing FILE of --json.")] = False

    def check(self, inputs: list[Path]) -> None:
        """Raise OutputError if the JSON can't be written, or would replace an input or, unasked, another file."""
        from democlass.output.paths import refuse_inputs, refuse_odd_place

        if self.json is None or self.uses_standard_output:
            return
        refuse_odd_place(self.json)
        refuse_inputs([self.json], inputs, "results")
        if self.json.exists() and not self.overwrite:
            raise OutputError(f"{self.json} exists: use --overwrite to replace it")

    @property
    def uses_standard_output(self) -> bool:
        """Whether the JSON is written to standard output, where nothing else must be written then."""
        return self.json == _STANDARD_OUTPUT

    def write(self, document: dict[str, Any]) -> None:
        """Write the JSON document. Raises WriteError."""
        from democlass.files import replace_file
        from democlass.output.formats import json_line

        if self.json is None:
            return
        content = json_line(document) + b"\n"
        if self.uses_standard_output:
            sys.stdout.buffer.write(content)
            return
        try:
            replace_file(self.json, content)
        except OSError as error:
            raise WriteError(f"can't write {self.json}: {error.strerror}") from None


def print_parts(parts: Iterable[Part]) -> None:
    """Write lines and tables to standard output."""
    from rich.console import Console

    out = Console(highlight=False, markup=False, emoji=False)
    for part, style in parts:
        out.print(part, style=style)
