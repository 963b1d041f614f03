"""Shows an evaluation on standard output: lines and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from democlass.evaluate import tables

Part = tuple[str | Table, str | None]
"""A line or a table, and its style."""


def format_tables(evaluation: dict[str, Any]) -> Iterator[str]:
    """Yield lines and tables as text, with styles if standard output is a terminal."""
    out = Console(highlight=False, markup=False, emoji=False)
    for part, style in _parts(evaluation):
        with out.capture() as captured:
            out.print(part, style=style)
        yield captured.get()


def _parts(evaluation: dict[str, Any]) -> Iterator[Part]:
    if "faces" in evaluation:
        yield from _face_parts(evaluation["faces"])
    for task in evaluation["tasks"].values():
        yield from _task_parts(task)


def _face_parts(faces: dict[str, Any]) -> Iterator[Part]:
    """Yield the lines and tables of missed faces."""
    yield f"faces: {tables.format_missed(faces)}", "bold"
    yield tables.describe_detection(faces), None
    for grouping in tables.face_groupings(faces):
        yield _group_table(f"by {grouping['title']}", tables.FACE_COLUMNS, tables.face_rows(grouping)), None
        yield f"{tables.format_difference(grouping)}\n", None


def _task_parts(task: dict[str, Any]) -> Iterator[Part]:
    """Yield the lines and tables of a task."""
    yield f"{task['title']}: {tables.format_accuracy(task)}", "bold"
    yield tables.format_metrics(task), None
    for name, grouping in task["groups"].items():
        yield _group_table(f"by {name}", tables.GROUP_COLUMNS, tables.group_rows(grouping)), None
        yield f"{tables.format_gap(grouping)}\n", None
    table = Table(tables.CONFUSION_HEADING, box=box.SIMPLE_HEAD, pad_edge=False)
    for label in task["labels"]:
        table.add_column(label.replace("_", " "), justify="right")
    for row in tables.confusion_rows(task):
        table.add_row(*row)
    yield table, None


def _group_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title, box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
