"""An evaluation as Markdown, for model cards and data sheets: tables, and a folder of pictures beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from democlass.evaluate import charts, tables
from democlass.names import to_printable

KINDS = ("confusion", "reliability", "coverage", "groups")
"""The pictures that each task has."""

_MARKS = re.compile(r"([\\`*_{}\[\]()#!|~$])")
"""What Markdown may take for its own inside a line."""


def tables_of(task: dict[str, Any]) -> str:
    """Return a task's tables as Markdown."""
    parts = [f"**{tables.accuracy(task)}**; {tables.means(task)}."]
    for grouping, group in task["groups"].items():
        parts.append(_table([f"by {grouping}", *tables.CELL_HEADS], tables.cells(group)))
        parts.append(f"{tables.gap(group)}.")
    parts.append(_table([tables.GIVEN, *task["labels"]], tables.confusion(task)))
    return tables.spoken("\n\n".join(parts))


def render(evaluation: dict[str, Any], folder: str) -> tuple[str, dict[str, str]]:
    """Return the Markdown, and the pictures in it as SVG by file name; `folder` is where it looks for them.

    Files are named without their folders, since a model card is published.
    """
    if evaluation["predictions"] is not None:
        evaluation = evaluation | {"predictions": Path(evaluation["predictions"]).name}
    parts = [f"# Evaluation on {_text(Path(evaluation['labels']).name)}", _text(" ".join(tables.made_by(evaluation)))]
    if rows := tables.checkpoints(evaluation):
        cells = [[name, _text(Path(path).name), _text(sha256)] for name, path, sha256 in rows]
        parts.append(_table(["", "checkpoint", "SHA-256"], cells))
    pictures = {}
    for name, task in evaluation["tasks"].items():
        parts += [f"## {task['title'].capitalize()}", tables_of(task)]
        for what, (picture, said) in _pictures(task).items():
            file = picture_name(name, what)
            pictures[file] = picture
            parts.append(f"![{said}]({quote(folder, errors='surrogateescape')}/{file})")
    return "\n\n".join(parts) + "\n", pictures


def picture_name(task: str, what: str) -> str:
    """Return the file name of a picture of a task, one of KINDS."""
    return f"{task}-{what}.svg"


def _pictures(task: dict[str, Any]) -> dict[str, tuple[str, str]]:
    title = task["title"]
    pictures = {
        "confusion": (charts.confusion(task), f"Confusion of {title}: the share of each row given each label"),
        "reliability": (charts.reliability(task), f"Reliability of {title}, 15 equal bins"),
        "coverage": (charts.coverage(task), f"Accuracy of {title} against coverage"),
    }
    finest = list(task["groups"])[-1]
    spoken = {tables.spoken(name): cell for name, cell in task["groups"][finest]["cells"].items()}
    pictures["groups"] = (charts.groups(spoken), f"Accuracy of {title} by {tables.spoken(finest)}, 95 % intervals")
    return pictures


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, marks, *rows))


def _text(text: str) -> str:
    """Return text from outside as Markdown that shows it as it is, on one line: no markup, no HTML."""
    return _MARKS.sub(r"\\\1", escape(to_printable(text), quote=False))
