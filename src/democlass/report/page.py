"""Writes a report as one HTML file that loads nothing else. The layout is in page.html.j2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from math import ceil
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from democlass import __version__
from democlass.names import to_printable
from democlass.report import wording
from democlass.report.composition import Composition, Question, questions
from democlass.report.report import COUNTED, Estimates, Report
from democlass.report.target import Comparison

MAX_GROUPS = 50
"""Groups that are shown; the JSON has all."""

_WIDTH, _LEFT, _RIGHT, _ROW = 640, 190, 20, 24
_LETTER = 6.6
"""Pixels of the widest labels' characters, on average."""


def render_page(report: Report, *, date: str, command: str) -> str:
    """Return the page of a report. Text from files never becomes HTML."""
    asked = questions(report.tasks)
    groups = list(report.groups.items())
    return _template().render(
        headline=wording.headline(report),
        counts=wording.counts(report.whole),
        advice=wording.advice(report),
        questions=_questions(report, report.whole, asked),
        groups=[
            {
                "title": to_printable(wording.group_title(report, values)),
                "counts": wording.counts(composition),
                "questions": _questions(report, composition, asked[: len(report.tasks)]),
            }
            for values, composition in groups[:MAX_GROUPS]
        ],
        hidden_groups=max(0, len(groups) - MAX_GROUPS),
        date=date,
        version=__version__,
        command=to_printable(command),
        files=[to_printable(str(file)) for file in report.files],
        checkpoints=[
            (task.title, each.sha256 or "unknown", to_printable(each.data))
            for task in report.tasks
            for each in [report.checkpoints[task.name]]
        ],
    )


def _questions(report: Report, composition: Composition, asked: Sequence[Question]) -> list[dict[str, Any]]:
    described = []
    for question in asked:
        estimates = report.estimate(composition, question)
        if estimates is None:
            continue
        comparison = report.compare_with_target(estimates, question)
        described.append(_describe(question, estimates, comparison, report.unit))
    return described


def _describe(question: Question, estimates: Estimates, comparison: Comparison | None, unit: str) -> dict[str, Any]:
    names = [estimates.best, *(name for name in estimates.shares if name != estimates.best)]
    rows = []
    for index, label in enumerate(question.labels):
        cells = [wording.spell_out(label)]
        for name in names:
            shares = estimates.shares[name]
            cells += [f"{shares.share[index]:.1%}", wording.interval(shares, index)]
        rows.append(cells)
    return {
        "title": question.title.capitalize(),
        "best": wording.TITLES[estimates.best],
        "n": f"{estimates.shares[COUNTED].n:,} {unit}s",
        "warnings": estimates.warnings,
        "columns": [wording.TITLES[name] for name in names],
        "rows": rows,
        "chart": _chart(question, estimates),
        "target": None if comparison is None else _describe_target(question, comparison),
    }


def _describe_target(question: Question, comparison: Comparison) -> dict[str, Any]:
    return {
        "test": wording.test(comparison),
        "rows": [wording.target_row(question, comparison, index) for index in range(len(question.labels))],
    }


def _chart(question: Question, estimates: Estimates) -> dict[str, Any]:
    """Return the numbers of a bar chart, in pixels, and its text for people who don't see it."""
    best, counted = estimates.shares[estimates.best], estimates.shares[COUNTED]
    labels = [wording.spell_out(label) for label in question.labels]
    left = max(_LEFT, ceil(_LETTER * max(map(len, labels))) + 12)
    largest = min(1.0, max(0.05, float(max(best.high.max(), counted.share.max()))))
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if largest / each <= 6)
    scale = (_WIDTH - _RIGHT - left) / largest

    def place(share: float) -> float:
        return round(left + share * scale, 1)

    bars = [
        {
            "label": label,
            "y": _ROW * index,
            "width": round(float(best.share[index]) * scale, 1),
            "low": place(float(best.low[index])),
            "high": place(float(best.high[index])),
            "counted": place(float(counted.share[index])),
        }
        for index, label in enumerate(labels)
    ]
    texts = [f"{label} {best.share[index]:.1%}" for index, label in enumerate(labels)]
    return {
        "alternative": f"Bar chart of {question.title}: {', '.join(texts)}",
        "width": _WIDTH,
        "height": _ROW * len(labels) + 24,
        "bottom": _ROW * len(labels),
        "left": left,
        "bars": bars,
        "grid": [
            {"x": place(number * step), "text": f"{number * step:.0%}"}
            for number in range(int(largest / step + 1e-9) + 1)
        ],
    }


@lru_cache
def _template() -> Template:
    source = files("democlass.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)
