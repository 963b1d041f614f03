"""Shows an evaluation on standard output: lines and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from democlass.evaluate import tables


def format_tables(evaluation: dict[str, Any]) -> Iterator[str]:
    """Yield lines and tables as text, with styles if standard output is a terminal."""
    out = Console(highlight=False, markup=False, emoji=False)
    for task in evaluation["tasks"].values():
        for part, style in _task_parts(task):
            with out.capture() as captured:
                out.print(part, style=style)
            yield captured.get()


def _task_parts(task: dict[str, Any]) -> Iterator[tuple[str | Table, str | None]]:
    """Yield the lines and tables of a task, each with its style."""
    yield f"{task['title']}: {tables.format_accuracy(task)}", "bold"
    yield tables.format_metrics(task), None
    for name, grouping in task["groups"].items():
        table = Table(f"by {name}", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in tables.GROUP_COLUMNS:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in tables.group_rows(grouping):
            table.add_row(*row)
        yield table, None
        yield f"{tables.format_gap(grouping)}\n", None
    table = Table(tables.CONFUSION_HEADING, box=box.SIMPLE_HEAD, pad_edge=False)
    for label in task["labels"]:
        table.add_column(label.replace("_", " "), justify="right")
    for row in tables.confusion_rows(task):
        table.add_row(*row)
    yield table, None
