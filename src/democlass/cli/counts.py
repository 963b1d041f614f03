"""The table of label counts in the summary of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from democlass.tasks import TASKS, Task

_WIDTH = 50  # of a narrow terminal, in characters; wider tables get narrower gaps
_GAP, _NARROW_GAP = 2, 1
_TOTAL = "total"


def count_table(counts: Mapping[tuple[str, ...], int], tasks: Sequence[Task] = TASKS) -> Iterator[str]:
    """Yield the lines of a table for each task after the first: its labels are the rows, the first task's the columns.

    The keys of `counts` are the labels of a face, one per task. A label that its task does not list, such as
    `uncertain`, gets a row or column only if it occurs.
    """
    columns = _labels(0, counts, tasks)
    for index in range(1, len(tasks)):
        pairs: Counter[tuple[str, str]] = Counter()
        for labels, count in counts.items():
            for row in (labels[index], _TOTAL):
                pairs[row, labels[0]] += count
                pairs[row, _TOTAL] += count
        rows = _labels(index, counts, tasks)
        yield from _lines(pairs, tasks[index].title, rows, tasks[0].title, columns)


def _lines(
    pairs: Mapping[tuple[str, str], int], row_title: str, rows: Sequence[str], column_title: str, columns: Sequence[str]
) -> Iterator[str]:
    cells = [[label, *(f"{pairs[label, column]:,}" for column in (*columns, _TOTAL))] for label in (*rows, _TOTAL)]
    table = [[row_title, *columns, _TOTAL], *cells]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    gap = _GAP if sum(widths) + _GAP * len(columns) + _GAP <= _WIDTH else _NARROW_GAP
    yield " " * (widths[0] + gap) + column_title
    for first, *rest in table:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield (" " * gap).join((first.ljust(widths[0]), *numbers))


def _labels(index: int, counts: Mapping[tuple[str, ...], int], tasks: Sequence[Task]) -> list[str]:
    listed = tasks[index].labels
    return [*listed, *sorted({labels[index] for labels in counts} - set(listed))]
