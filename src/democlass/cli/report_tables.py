"""Shows a report on standard output: lines, and tables with bars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from democlass.cli.report_options import Part
from democlass.names import to_printable
from democlass.report.composition import Composition, Question, questions
from democlass.report.estimates import Shares
from democlass.report.report import CORRECTED, COUNTED, LABELLED, MEAN_PROBABILITY, Estimates, Report
from democlass.report.target import Comparison
from democlass.results import ERROR, NO_FACE, OK, TOO_SMALL

MAX_GROUPS = 20
"""Groups that are shown; the JSON has all."""

_BAR, _SHORT_BAR = 8, 5
_MANY_LABELS = 8
"""More labels than these are combinations with long names, which leave space for short bars only."""

_BLOCKS = " ▏▎▍▌▋▊▉█"
_TITLES = {COUNTED: "counted", MEAN_PROBABILITY: "mean prob.", CORRECTED: "corrected", LABELLED: "labelled"}
LIMITS = (
    "Shares of perceived gender and perceived race: how annotators would label the faces. They say nothing about the "
    "identity or ancestry of anyone."
)


def parts(report: Report) -> Iterator[Part]:
    """Yield the lines and tables of a report."""
    yield describe_counts(report.whole), "bold"
    yield "", None
    yield from _composition(report, report.whole, questions(report.tasks))
    for values, composition in list(report.groups.items())[:MAX_GROUPS]:
        names = ", ".join(f"{name} {value}" for name, value in zip(report.group_names, values, strict=True))
        yield f"{to_printable(names)}: {describe_counts(composition)}", "bold"
        yield "", None
        yield from _composition(report, composition, questions(report.tasks)[: len(report.tasks)])
    if len(report.groups) > MAX_GROUPS:
        yield f"{len(report.groups) - MAX_GROUPS:,} more groups are in --json", None
    yield _advice(report), None
    yield LIMITS, "dim"


def _composition(report: Report, composition: Composition, asked: list[Question]) -> Iterator[Part]:
    for question in asked:
        estimates = report.estimate(composition, question)
        if estimates is None:
            yield f"{question.title}: no face with a label", None
            continue
        table = _table(question, estimates)
        yield f"{question.title}, shares of {estimates.shares[COUNTED].n:,} {report.unit}s", "bold"
        yield table, None
        if (comparison := report.compare_with_target(estimates, question)) is not None:
            yield from _target_parts(question, comparison, report.unit)
        for warning in estimates.warnings:
            yield f"warning: {warning}", "yellow"


def describe_counts(composition: Composition) -> str:
    """Return the numbers of images and faces as text."""
    images = composition.images
    found = [f"{images.total():,} images", f"{composition.faces:,} classified faces"]
    for status, text in (
        (NO_FACE, "without a face"),
        (TOO_SMALL, "with small faces only"),
        (ERROR, "not readable"),
    ):
        found += [f"{images[status]:,} {text}"] if images[status] else []
    uncertain = max(composition.uncertain.values(), default=0)
    found += [f"{uncertain:,} faces uncertain"] if uncertain else []
    other = images.total() - sum(images[status] for status in (OK, NO_FACE, TOO_SMALL, ERROR))
    return ", ".join([*found, *([f"{other:,} with another status"] if other else [])])


def _table(question: Question, estimates: Estimates) -> Table:
    best = estimates.best
    others = [name for name in (CORRECTED, COUNTED, MEAN_PROBABILITY) if name in estimates.shares and name != best]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column(_TITLES[best], justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    for name in others:
        table.add_column(_TITLES[name], justify="right", no_wrap=True)
    main = estimates.shares[best]
    largest = float(main.share.max())
    width = _SHORT_BAR if len(question.labels) > _MANY_LABELS else _BAR
    for index, label in enumerate(question.labels):
        share = float(main.share[index])
        cells: list[Any] = [label.replace("_", " "), Text(bar(share / largest if largest else 0, width), style="cyan")]
        cells += [f"{share:.1%}", _interval(main, index)]
        cells += [f"{estimates.shares[name].share[index]:.1%}" for name in others]
        table.add_row(*cells)
    return table


def estimate_title(estimate: str) -> str:
    """Return the name of an estimate in text for people."""
    return _TITLES[estimate]


def _target_parts(question: Question, comparison: Comparison, unit: str) -> Iterator[Part]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("compared with the target", no_wrap=True)
    for heading in ("target", "difference", f"{unit}s missing"):
        table.add_column(heading, justify="right", no_wrap=True)
    for index, label in enumerate(question.labels):
        missing = int(comparison.missing[index])
        points = f"{100 * comparison.difference[index]:+.1f} points"
        table.add_row(
            label.replace("_", " "), f"{comparison.target[index]:.1%}", points, f"{missing:,}" if missing else ""
        )
    yield table, None
    p = f"p {comparison.p:.3f}" if comparison.p >= 0.001 else "p below 0.001"
    yield f"chi-square {comparison.chi_square:.1f}, {p}, Cramér's V {comparison.cramers_v:.2f}\n", None


def bar(share: float, width: int) -> str:
    """Return a bar of at most `width` characters for a share of the largest one, 0 to 1, in eighths of a character."""
    eighths = round(8 * width * share)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[rest] if rest else "")).ljust(width)


def _interval(shares: Shares, index: int) -> str:
    return f"{shares.low[index]:.1%} to {shares.high[index]:.1%}"


def _advice(report: Report) -> str:
    if report.labelled is not None:
        return (
            "Believe the labelled shares. They come from the labels of people, and do not assume that the networks are "
            "right. They are missing where fewer than two faces have labels."
        )
    reasons = [each.reason for each in report.checkpoints.values() if each.reason]
    if not reasons:
        data = ", ".join(dict.fromkeys(each.data for each in report.checkpoints.values() if each.data))
        where = f" ({to_printable(data)})" if data else ""
        return (
            f"Believe the corrected shares. They assume that the networks err here as on the validation data{where}. "
            "For gender x race they also assume that the errors of the two networks are independent."
        )
    return (
        "Counted shares and mean probabilities are biased by the errors of the networks. Corrected shares are missing: "
        f"{'; '.join(dict.fromkeys(reasons))}."
    )
