"""The table of labels at the end of a run: how many images were given each pair of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from democlass.tasks import TASKS, Task

_WIDTH = 50  # a narrow terminal; columns move closer together for it
_GAP, _NARROW_GAP = 2, 1
_TOTAL = "total"


def count_table(counts: Mapping[tuple[str, ...], int], tasks: Sequence[Task] = TASKS) -> Iterator[str]:
    """Yield the lines of a table whose columns are the first task's labels, and one for each further task below it.

    `counts` is by the labels of an image, one a task. Labels of no task, as `uncertain`, are shown where they occur.
    """
    columns = _labels(0, counts, tasks)
    for place in range(1, len(tasks)):
        pairs: Counter[tuple[str, str]] = Counter()
        for labels, count in counts.items():
            for row in (labels[place], _TOTAL):
                pairs[row, labels[0]] += count
                pairs[row, _TOTAL] += count
        rows = _labels(place, counts, tasks)
        yield from _lines(pairs, tasks[place].title, rows, tasks[0].title, columns)


def _lines(
    pairs: Mapping[tuple[str, str], int], title: str, rows: Sequence[str], above: str, columns: Sequence[str]
) -> Iterator[str]:
    cells = [[label, *(f"{pairs[label, column]:,}" for column in (*columns, _TOTAL))] for label in (*rows, _TOTAL)]
    table = [[title, *columns, _TOTAL], *cells]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    gap = _GAP if sum(widths) + _GAP * len(columns) + _GAP <= _WIDTH else _NARROW_GAP
    yield " " * (widths[0] + gap) + above
    for first, *rest in table:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield (" " * gap).join((first.ljust(widths[0]), *numbers))


def _labels(place: int, counts: Mapping[tuple[str, ...], int], tasks: Sequence[Task]) -> list[str]:
    known = tasks[place].labels
    return [*known, *sorted({labels[place] for labels in counts} - set(known))]
