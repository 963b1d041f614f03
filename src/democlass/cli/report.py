"""`classify report RESULTS...`: the composition of a collection, with honest intervals."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli.expand import expand
from democlass.cli.option import OUTPUT, option
from democlass.errors import MissingExtraError, OutputError, UsageError

if TYPE_CHECKING:
    from democlass.report.grouping import Grouping
    from democlass.report.report import Report

app = typer.Typer(add_completion=False)
_STANDARD_OUTPUT = Path("-")
_GROUPS = "Groups"


class Unit(str, Enum):
    """What counts the same in all shares."""

    FACE = "face"
    IMAGE = "image"


@dataclass(frozen=True)
class GroupOptions:
    """The parts of the collection that are reported separately."""

    by: Annotated[
        list[str] | None,
        option(
            "--by",
            panel=_GROUPS,
            metavar="NAME",
            help="Report each group separately: folder (that of the image), folder:DEPTH (its first DEPTH parts), or a "
            "column of --join. Repeatable: each combination is a group.",
        ),
    ] = None
    join: Annotated[
        Path | None,
        option("--join", panel=_GROUPS, metavar="FILE", help="CSV with further columns for the images, for --by."),
    ] = None
    on: Annotated[
        str,
        option(
            "--on",
            panel=_GROUPS,
            metavar="COLUMN",
            help="Column of --join with the paths of the images, written as in the results.",
        ),
    ] = "path"

    def grouping(self) -> Grouping | None:
        """Return the grouping, None without --by. Raises UsageError."""
        from democlass.report.grouping import FOLDER, Grouping, Joined

        names = tuple(dict.fromkeys(self.by or []))
        if self.join is None:
            return Grouping(names) if names else None
        columns = [name for name in names if name.partition(":")[0] != FOLDER]
        if not columns:
            raise UsageError("--join has no effect without --by COLUMN")
        return Grouping(names, Joined.read(self.join, self.on, columns))


@dataclass(frozen=True)
class ReportOutputs:
    """The files that the report is written to."""

    json: Annotated[
        Path | None,
        option("--json", panel=OUTPUT, metavar="FILE", help="Write the report as JSON; - is standard output."),
    ] = None
    overwrite: Annotated[bool, option("--overwrite", panel=OUTPUT, help="Replace an existing FILE of --json.")] = False

    def check(self, inputs: list[Path]) -> None:
        """Raise OutputError if the JSON can't be written, or would replace an input or, unasked, another file."""
        from democlass.output.paths import refuse_inputs, refuse_odd_place

        if self.json is None or self.json == _STANDARD_OUTPUT:
            return
        refuse_odd_place(self.json)
        refuse_inputs([self.json], inputs, "results")
        if self.json.exists() and not self.overwrite:
            raise OutputError(f"{self.json} exists: use --overwrite to replace it")

    def write(self, report: Report) -> None:
        """Write the JSON. Raises WriteError."""
        from democlass.errors import WriteError
        from democlass.files import replace_file
        from democlass.output.formats import json_line

        if self.json is None:
            return
        content = json_line(report.to_dict()) + b"\n"
        if self.json == _STANDARD_OUTPUT:
            sys.stdout.buffer.write(content)
            return
        try:
            replace_file(self.json, content)
        except OSError as error:
            raise WriteError(f"can't write {self.json}: {error.strerror}") from None


@app.command()
@expand
def report(
    results: Annotated[list[Path], typer.Argument(help="Results of classify batch: CSV, Parquet, JSON Lines or JSON.")],
    groups: GroupOptions,
    outputs: ReportOutputs,
    labelled: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sample of classify sample with the labels of people filled in. Gives shares that do not rely on the "
            "networks.",
        ),
    ] = None,
    unit: Annotated[
        Unit, typer.Option(help="What counts the same in all shares: each face, or each image with faces.")
    ] = Unit.FACE,
) -> int:
    """Show the composition of a collection from its results: shares of perceived gender and perceived race.

    Each share is estimated in several ways, with 95 % intervals, because counting labels is biased by the errors of the
    networks. Reads results in pieces; they may be larger than memory.
    """
    try:
        from democlass.report.report import make_report
    except ImportError:
        raise MissingExtraError("classify report", "report") from None
    outputs.check([*results, *(file for file in (groups.join, labelled) if file is not None)])
    made = make_report(results, unit=unit.value, grouping=groups.grouping(), labelled=labelled)
    outputs.write(made)
    if outputs.json != _STANDARD_OUTPUT:
        _print(made)
    return 0


def _print(made: Report) -> None:
    from rich.console import Console

    from democlass.cli.report_tables import parts

    out = Console(highlight=False, markup=False, emoji=False)
    renderables: list[tuple[Any, str | None]] = list(parts(made))
    for part, style in renderables:
        out.print(part, style=style)
