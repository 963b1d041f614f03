"""`classify report RESULTS...`: the composition of a collection, with honest intervals."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from democlass.cli.expand import expand
from democlass.cli.option import OUTPUT, option
from democlass.cli.report_options import JsonOutput, Unit, UnitOption, print_parts, write_file
from democlass.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from democlass.report.grouping import Grouping
    from democlass.report.report import Report

app = typer.Typer(add_completion=False)
_GROUPS = "Groups"


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
class ReportOutputs(JsonOutput):
    """The files that the report is written to."""

    html: Annotated[
        Path | None,
        option("--html", panel=OUTPUT, metavar="FILE", help="Write a page for people, which loads nothing else."),
    ] = None

    @property
    def files(self) -> list[Path]:
        """The files to write; standard output is none."""
        return [*super().files, *([] if self.html is None else [self.html])]

    def write_page(self, report: Report) -> None:
        """Write the page. Raises WriteError, MissingExtraError."""
        from datetime import datetime, timezone

        if self.html is None:
            return
        try:
            from democlass.report.page import render_page
        except ImportError:
            raise MissingExtraError("classify report --html", "report") from None
        date = datetime.now(timezone.utc).date().isoformat()
        page = render_page(report, date=date, command=shlex.join(["classify", *sys.argv[1:]]))
        write_file(self.html, page.encode(errors="backslashreplace"))


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
    target: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|uniform",
            help="Target shares to compare with: a CSV with the columns label and share, or the same share for each "
            "label.",
        ),
    ] = None,
    unit: UnitOption = Unit.FACE,
) -> int:
    """Show the composition of a collection from its results: shares of perceived gender and perceived race.

    Each share is estimated in several ways, with 95 % intervals, because counting labels is biased by the errors of the
    networks. Reads results in pieces; they may be larger than memory.
    """
    try:
        from democlass.report.report import make_report
    except ImportError:
        raise MissingExtraError("classify report", "report") from None
    target_file = None if target in (None, "uniform") else Path(str(target))
    outputs.check([*results, *(file for file in (groups.join, labelled, target_file) if file is not None)])
    made = make_report(results, unit=unit.value, grouping=groups.grouping(), labelled=labelled, target=target)
    outputs.write(made.to_dict())
    outputs.write_page(made)
    if not outputs.uses_standard_output:
        from democlass.cli.report_tables import parts

        print_parts(parts(made))
    return 0
