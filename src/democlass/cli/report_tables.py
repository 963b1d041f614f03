"""Shows a report on standard output: lines, and tables with bars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from democlass.cli.report_options import Part
from democlass.names import to_printable
from democlass.report import wording
from democlass.report.composition import Composition, Question, questions
from democlass.report.report import CORRECTED, COUNTED, MEAN_PROBABILITY, Estimates, Report
from democlass.report.target import Comparison

MAX_GROUPS = 20
"""Groups that are shown; the JSON has all."""

_BAR, _SHORT_BAR = 8, 5
_MANY_LABELS = 8
"""More labels than these are combinations with long names, which leave space for short bars only."""

_BLOCKS = " ▏▎▍▌▋▊▉█"
_HEADINGS = {**wording.TITLES, MEAN_PROBABILITY: "mean prob."}


def parts(report: Report) -> Iterator[Part]:
    """Yield the lines and tables of a report."""
    yield wording.counts(report.whole), "bold"
    yield "", None
    yield from _composition(report, report.whole, questions(report.tasks))
    for values, composition in list(report.groups.items())[:MAX_GROUPS]:
        yield f"{to_printable(wording.group_title(report, values))}: {wording.counts(composition)}", "bold"
        yield "", None
        yield from _composition(report, composition, questions(report.tasks)[: len(report.tasks)])
    if len(report.groups) > MAX_GROUPS:
        yield f"{len(report.groups) - MAX_GROUPS:,} more groups are in --json", None
    yield wording.advice(report), None
    yield wording.LIMITS, "dim"


def new_table(*headings: str) -> Table:
    """Return a table whose first column has labels; the others, with these headings, have numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def bar(share: float, width: int) -> str:
    """Return a bar of at most `width` characters for a share of the largest one, 0 to 1, in eighths of a character."""
    eighths = round(8 * width * share)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[rest] if rest else "")).ljust(width)


def _composition(report: Report, composition: Composition, asked: list[Question]) -> Iterator[Part]:
    for question in asked:
        estimates = report.estimate(composition, question)
        if estimates is None:
            yield f"{question.title}: no face with a label", None
            continue
        yield f"{question.title}, shares of {estimates.shares[COUNTED].n:,} {report.unit}s", "bold"
        yield _share_table(question, estimates), None
        if (comparison := report.compare_with_target(estimates, question)) is not None:
            yield _target_table(question, comparison, report.unit), None
            yield f"{wording.test(comparison)}\n", None
        for warning in estimates.warnings:
            yield f"warning: {warning}", "yellow"


def _share_table(question: Question, estimates: Estimates) -> Table:
    best = estimates.best
    others = [name for name in (CORRECTED, COUNTED, MEAN_PROBABILITY) if name in estimates.shares and name != best]
    table = new_table("", "", _HEADINGS[best], "95 % interval", *(_HEADINGS[name] for name in others))
    main = estimates.shares[best]
    largest = float(main.share.max())
    width = _SHORT_BAR if len(question.labels) > _MANY_LABELS else _BAR
    for index, label in enumerate(question.labels):
        share = float(main.share[index])
        cells: list[Any] = [wording.spell_out(label), Text(bar(share / largest if largest else 0, width), style="cyan")]
        cells += [f"{share:.1%}", wording.interval(main, index)]
        cells += [f"{estimates.shares[name].share[index]:.1%}" for name in others]
        table.add_row(*cells)
    return table


def _target_table(question: Question, comparison: Comparison, unit: str) -> Table:
    table = new_table("compared with the target", "target", "difference", f"{unit}s missing")
    for index in range(len(question.labels)):
        table.add_row(*wording.target_row(question, comparison, index))
    return table
