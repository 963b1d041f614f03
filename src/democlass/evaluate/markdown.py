"""An evaluation as Markdown, for model cards and data sheets: tables, and a folder of pictures beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from democlass.evaluate import charts, tables


def tables_of(task: dict[str, Any]) -> str:
    """Return a task's tables as Markdown."""
    parts = [f"**{tables.accuracy(task)}**; {tables.means(task)}."]
    for grouping, group in task["groups"].items():
        parts.append(_table([f"by {grouping}", *tables.CELL_HEADS], tables.cells(group)))
        parts.append(f"{tables.gap(group)}.")
    parts.append(_table([tables.GIVEN, *task["labels"]], tables.confusion(task)))
    return tables.spoken("\n\n".join(parts))


def write(evaluation: dict[str, Any], file: Path) -> None:
    """Write `file`, and its pictures as SVG into a folder of the same name without the suffix. Raises OSError."""
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    parts = [f"# Evaluation on {Path(evaluation['labels']).name}"]
    for name, task in evaluation["tasks"].items():
        parts += [f"## {task['title'].capitalize()}", tables_of(task)]
        for what, (picture, said) in _pictures(task).items():
            place = folder / f"{name}-{what}.svg"
            place.write_text(picture, encoding="utf-8")
            parts.append(f"![{said}]({folder.name}/{place.name})")
    file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


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
