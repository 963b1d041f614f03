"""Writes an evaluation as Markdown, for model cards and data sheets: tables, and a folder with the charts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from democlass.evaluate import charts, tables
from democlass.names import to_printable

CHARTS = ("confusion", "reliability", "coverage", "groups")
"""The charts of each task."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~$])")
"""Characters with a meaning in a line of Markdown."""


def render_task(task: dict[str, Any]) -> str:
    """Return the metrics and tables of one task as Markdown."""
    summary = tables.format_accuracy(task)
    parts = [f"**{summary[0].upper()}{summary[1:]}**; {tables.format_metrics(task)}."]
    for name, grouping in task["groups"].items():
        parts.append(_render_table([f"by {name}", *tables.GROUP_COLUMNS], tables.group_rows(grouping)))
        parts.append(f"{tables.format_gap(grouping)}.")
    parts.append(_render_table([tables.CONFUSION_HEADING, *task["labels"]], tables.confusion_rows(task)))
    return tables.spell_out("\n\n".join(parts))


def render_faces(faces: dict[str, Any]) -> str:
    """Return the tables of missed faces as Markdown."""
    parts = [f"**Faces {tables.format_missed(faces)}**. {tables.describe_detection(faces)}"]
    for grouping in tables.face_groupings(faces):
        parts.append(_render_table([f"by {grouping['title']}", *tables.FACE_COLUMNS], tables.face_rows(grouping)))
        parts.append(f"{tables.format_difference(grouping)}.")
    return tables.spell_out("\n\n".join(parts))


def render_markdown(evaluation: dict[str, Any], folder: str) -> tuple[str, dict[str, str]]:
    """Return the Markdown, and its charts as SVG by file name. `folder` is the folder of the charts, for links.

    Files appear without their folders, because model cards are published.
    """
    if evaluation["predictions"] is not None:
        evaluation = evaluation | {"predictions": Path(evaluation["predictions"]).name}
    title = _escape(Path(evaluation["labels"]).name)
    parts = [f"# Evaluation on {title}", _escape(" ".join(tables.describe_origin(evaluation)))]
    if checkpoints := tables.checkpoint_rows(evaluation):
        rows = [[task, _escape(Path(path).name), _escape(sha256)] for task, path, sha256 in checkpoints]
        parts.append(_render_table(["", "checkpoint", "SHA-256"], rows))
    if "faces" in evaluation:
        parts += ["## Faces", render_faces(evaluation["faces"])]
    files = {}
    for name, task in evaluation["tasks"].items():
        parts += [f"## {task['title'].capitalize()}", render_task(task)]
        for chart, (svg, caption) in _draw_charts(task).items():
            file = chart_file_name(name, chart)
            files[file] = svg
            parts.append(f"![{caption}]({quote(folder, errors='surrogateescape')}/{file})")
    return "\n\n".join(parts) + "\n", files


def chart_file_name(task: str, chart: str) -> str:
    """Return the file name of one of the CHARTS of a task."""
    return f"{task}-{chart}.svg"


def _draw_charts(task: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the SVG and the caption of each of the CHARTS."""
    title = task["title"]
    finest = list(task["groups"])[-1]
    cells = {tables.spell_out(name): cell for name, cell in task["groups"][finest]["cells"].items()}
    return {
        "confusion": (charts.draw_confusion(task), f"Confusion matrix of {title}: shares of each row"),
        "reliability": (charts.draw_reliability(task), f"Reliability of {title}, 15 equal bins"),
        "coverage": (charts.draw_coverage(task), f"Accuracy of {title} against coverage"),
        "groups": (
            charts.draw_groups(cells),
            f"Accuracy of {title} by {tables.spell_out(finest)}, 95 % intervals",
        ),
    }


def _render_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    alignment = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, alignment, *rows))


def _escape(text: str) -> str:
    """Return untrusted text for one line of Markdown: neither Markdown nor HTML in it has an effect."""
    return _SPECIAL.sub(r"\\\1", escape(to_printable(text), quote=False))
