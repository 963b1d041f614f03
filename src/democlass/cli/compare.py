"""`classify compare FIRST SECOND`: the differences of the shares of two collections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from democlass.cli.expand import expand
from democlass.cli.report_options import JsonOutput, Part, Unit, UnitOption, print_parts
from democlass.errors import MissingExtraError

if TYPE_CHECKING:
    from democlass.report.pair import Pair

app = typer.Typer(add_completion=False)


@app.command()
@expand
def compare(
    first: Annotated[Path, typer.Argument(help="Results of the first collection.")],
    second: Annotated[Path, typer.Argument(help="Results of the second collection.")],
    outputs: JsonOutput,
    unit: UnitOption = Unit.FACE,
) -> int:
    """Compare two collections: the shares of perceived gender and perceived race side by side, and their differences.

    A difference is marked with * if its 95 % interval does not contain 0.
    """
    try:
        from democlass.report.pair import Pair
        from democlass.report.report import make_report
    except ImportError:
        raise MissingExtraError("classify compare", "report") from None
    outputs.check([first, second])
    pair = Pair(*(make_report([file], unit=unit.value) for file in (first, second)))
    outputs.write(pair.to_dict())
    if not outputs.uses_standard_output:
        print_parts(_parts(pair))
    return 0


def _parts(pair: Pair) -> Iterator[Part]:
    from democlass.cli.report_tables import new_table
    from democlass.names import to_printable
    from democlass.report import wording

    for name, report in (("first", pair.first), ("second", pair.second)):
        yield f"{name}: {to_printable(str(report.files[0]))}, {wording.counts(report.whole)}", "bold"
    for question, estimate, differences in pair.differences():
        yield f"\n{question.title}, {wording.TITLES[estimate]} shares", "bold"
        table = new_table("", "first", "second", "difference", "95 % interval", "")
        shares = [report.shares(question, estimate).share for report in (pair.first, pair.second)]
        for index, label in enumerate(question.labels):
            low, high = (f"{100 * float(each[index]):+.1f}" for each in (differences.low, differences.high))
            table.add_row(
                wording.spell_out(label),
                *(f"{share[index]:.1%}" for share in shares),
                f"{100 * differences.difference[index]:+.1f} points",
                f"{low} to {high}",
                "*" if differences.is_certain[index] else "",
            )
        yield table, None
    for reason in pair.reasons:
        yield f"corrected shares are missing: {reason}", None
    yield wording.LIMITS, "dim"
